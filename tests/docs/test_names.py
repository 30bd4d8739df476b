"""Files, tools, flags, make targets, config keys and links that the pages name exist."""

import contextlib
import importlib
import io
import re
import runpy
import shlex
import sys

import pytest
from detectron2.config import CfgNode, get_cfg
from docs.pages import PAGES, commands, headings, name, prose
from helpers import ROOT

from aa_detectron import add_aa_config

FILES = re.compile(
    r"\b(?:aa_detectron|configs|docs|results|tests|tools)/[\w./-]+\.(?:py|md|yaml)\b"
)
KEYS = re.compile(r"\b[A-Z][A-Z0-9_]*(?:\.[A-Z][A-Z0-9_]*)+\b")
LINKS = re.compile(r"\]\(([^()\s]+)\)")

every_page = pytest.mark.parametrize("page", PAGES, ids=map(name, PAGES))


@pytest.fixture(scope="module")
def config():
    cfg = get_cfg()
    add_aa_config(cfg)
    return cfg


def config_keys(node, prefix=""):
    """All keys of a config and its parts, with dots."""
    for key, value in node.items():
        yield prefix + key
        if isinstance(value, CfgNode):
            yield from config_keys(value, f"{prefix}{key}.")


def console_scripts():
    """{name: module} of the commands that the installation makes."""
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    return dict(re.findall(r'"(aa-[a-z-]+) = ([\w.]+):main"', setup))


def help_of(words, monkeypatch):
    """What a tool says to --help behind its first argument, which may be a subcommand."""
    first = [word for word in words[1:2] if not word.startswith("-")]
    monkeypatch.setattr(sys, "argv", [words[0], *first, "--help"])
    with contextlib.redirect_stdout(io.StringIO()) as said, pytest.raises(SystemExit):
        if words[0] in console_scripts():
            importlib.import_module(console_scripts()[words[0]]).main()
        else:
            monkeypatch.syspath_prepend(str((ROOT / words[0]).parent))  # as Python does
            runpy.run_path(str(ROOT / words[0]), run_name="__main__")
    return said.getvalue()


def slug(heading):
    """The anchor that GitHub and MyST give to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def test_the_pages_have_what_is_looked_for():
    """So that no pattern of these tests has stopped matching."""
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    for pattern, least in ((FILES, 50), (LINKS, 100), (KEYS, 50)):
        assert sum(len(pattern.findall(text)) for text in texts) > least
    assert sum(len(list(filter(None, map(of_ours, commands(page))))) for page in PAGES) > 30


@every_page
def test_files_exist(page):
    named = FILES.findall(page.read_text(encoding="utf-8"))
    assert [file for file in named if not (ROOT / file).is_file()] == []


@every_page
def test_links_lead_somewhere(page):
    for link in LINKS.findall(prose(page)):
        file, _, anchor = link.partition("#")
        if file.startswith("https://"):
            continue
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        if anchor:
            assert anchor in map(slug, headings(target)), link


@every_page
def test_config_keys_exist(page, config):
    known = set(config_keys(config))
    named = set(KEYS.findall(page.read_text(encoding="utf-8")))
    assert named - known == set()


@every_page
def test_make_targets_exist(page):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"(?:^\$ |`)make ([a-z]+)", page.read_text("utf-8"), re.MULTILINE)
    assert [t for t in targets if not re.search(rf"^{t}:", makefile, re.MULTILINE)] == []


def of_ours(command):
    """The words of a command from the tool's name on; none where it is not one of ours."""
    words = shlex.split(command)
    words = words[1:] if words[0] == "python" else words
    return words if words[0].startswith(("tools/", "aa-")) else []


@every_page
def test_flags_of_tools_exist(page, monkeypatch):
    for words in filter(None, map(of_ours, commands(page))):
        flags = {word for word in words if word.startswith("--")}
        known = set(re.findall(r"--[\w-]+", help_of(words, monkeypatch)))
        assert flags - known == set(), words[0]
