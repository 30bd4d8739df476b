"""What the tests of the documentation read: its pages and what they show."""

import json
import re
from pathlib import Path

from helpers import ROOT

PAGES = [
    *sorted((ROOT / "docs").glob("*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *(ROOT / name / "README.md" for name in ("configs", "tools", "tests")),
    *sorted((ROOT / "results").glob("*.md")),
    ROOT / "aa_detectron" / "data" / "datasets" / "README.md",
    ROOT / "tools" / "benchmarks" / "README.md",
]
TUTORIAL = ROOT / "docs" / "tutorial.ipynb"

_BLOCK = re.compile(r"^```(\S+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def name(page: Path) -> str:
    """The page's path in the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language that are not marked "no-run"."""
    found = _BLOCK.findall(page.read_text(encoding="utf-8"))
    return [text for kind, marks, text in found if kind == language and "no-run" not in marks]


def commands(page: Path) -> list[str]:
    """The commands of the console blocks and of indented ones, a string each, without prompts."""
    console = "".join(blocks(page, "console")).replace("\\\n", " ")
    indented = re.findall(r"^ {4}.*$", prose(page).replace("\\\n", " "), re.MULTILINE)
    prompted = [line[2:] for line in console.splitlines() if line.startswith("$ ")]
    return prompted + [line.strip() for line in indented if re.match(r" *(python|aa-)", line)]


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _BLOCK.sub("", page.read_text(encoding="utf-8"))


def headings(page: Path) -> list[str]:
    """The page's headings, and those of pages that it includes."""
    text = page.read_text(encoding="utf-8")
    included = [
        page.parent / file for file in re.findall(r"^```{include} (\S+)", text, re.MULTILINE)
    ]
    found = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return found + [heading for other in included for heading in headings(other)]


def tutorial_cells() -> list[str]:
    """The code of the tutorial's cells, without IPython's "%" commands."""
    cells = json.loads(TUTORIAL.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return [re.sub(r"^%.*$", "", text, flags=re.MULTILINE) for text in code]
