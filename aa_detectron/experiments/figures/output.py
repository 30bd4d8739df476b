"""The files of a figure: pictures, and the JSON with their numbers."""

import os

from matplotlib.figure import Figure

from aa_detectron.utils.files import write_json

from .style import save_figure


class FigureFiles:
    """Names the files of one kind of figure and remembers the files that were written.

    Args:
        folder: folder of the files; made when the first file is written.
        name: start of all file names, "variance" for example.
    """

    def __init__(self, folder: str, name: str):
        self.folder, self.name = folder, name
        self.written: list[str] = []

    def add(self, stem: str, suffix: str) -> str:
        """The path "<folder>/<name>_<stem><suffix>", without "_<stem>" for an empty stem."""
        name = f"{self.name}_{stem}" if stem else self.name
        self.written.append(os.path.join(self.folder, name + suffix))
        return self.written[-1]

    def save_figure(self, stem: str, figure: Figure) -> None:
        """Writes a figure as PNG.

        Raises:
            InputError: the file cannot be written.
        """
        save_figure(self.add(stem, ".png"), figure)

    def save_numbers(self, numbers: dict) -> list[str]:
        """Writes the numbers as JSON, the last of the files.

        Returns:
            the paths of all files, in the order of writing.

        Raises:
            InputError: the file cannot be written.
        """
        write_json(self.add("", ".json"), numbers)
        return self.written
