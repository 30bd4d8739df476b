"""Names that Matplotlib takes for formulas or leaves out of legends."""

import io
from xml.etree import ElementTree

import matplotlib
from matplotlib.figure import Figure

NAMES = ["$\\frac{$", "a $x_{$ b", r"\$5 or $6", "_hidden"]


def assert_drawn(figure: Figure, text: str) -> None:
    """The figure can be drawn, and shows the text character by character."""
    file = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none"}):  # texts stay texts
        figure.savefig(file, format="svg")
    elements = ElementTree.fromstring(file.getvalue()).iter("{http://www.w3.org/2000/svg}text")
    assert text in {element.text for element in elements}
