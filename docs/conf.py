"""Sphinx: pages in Markdown, the tutorial as a notebook, the API from the docstrings."""

import inspect
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from sphinx.ext import apidoc  # noqa: E402

import aa_detectron  # noqa: E402

project = "aa_detectron"
author = copyright = "aa_detectron contributors"
version = release = aa_detectron.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "myst_nb",
]
exclude_patterns = ["_build", "_templates"]
html_theme = "furo"
html_title = f"aa_detectron {version}"
html_show_copyright = False

myst_heading_anchors = 3
# Links to files outside of docs/ become plain text; tests/docs checks where all links lead.
suppress_warnings = ["myst.xref_missing"]
nb_execution_mode = "off"  # `make tutorial` executes it, and its outputs are in the repository

autodoc_default_options = {"ignore-module-all": True}  # each object once, where it is defined
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False

# The inventories of other projects would have to be downloaded, so only references to this
# package are checked.
nitpick_ignore = [("py:class", "aa_detectron.experiments.comparison.schema.Schema")]  # a TypeVar
nitpick_ignore_regex = [("py:.*", r"(?!aa_detectron\b).*")]


def write_api_pages(app) -> None:
    """One page for each package, written anew in every build: they follow the tree."""
    docs = ROOT / "docs"
    options = ["-q", "--force", "--remove-old", "--no-toc", "--module-first"]
    templates = ["--templatedir", str(docs / "_templates" / "apidoc")]
    apidoc.main([*options, *templates, "-o", str(docs / "api"), str(ROOT / "aa_detectron")])


def list_exports(app, what, name, obj, options, lines) -> None:
    """Appends links to what a package offers by a shorter path."""
    exports = {e: getattr(obj, e) for e in getattr(obj, "__all__", ())} if what == "module" else {}
    links = [
        f":py:obj:`{export} <{found.__module__}.{found.__qualname__}>`"
        for export, found in exports.items()
        if hasattr(found, "__qualname__") and found.__module__ != name
    ]
    if links:
        lines += ["", f"Also importable from ``{name}`` itself: {', '.join(links)}.", ""]


def skip_imported(app, what, name, obj, skip, options):
    """Skips what a module imports; autodoc does too, but only after it has read the signature."""
    imported = inspect.isroutine(obj) and not (obj.__module__ or "").startswith("aa_detectron")
    return True if what == "module" and imported else None


def resolve_export(app, env, node, content):
    """Leads a reference by a shorter path to where the object is defined."""
    target = node.get("reftarget", "")
    package, _, name = target.rpartition(".")
    found = getattr(sys.modules.get(package), name, None)
    defined = f"{getattr(found, '__module__', '')}.{getattr(found, '__qualname__', '')}"
    if node.get("refdomain") != "py" or defined == target:
        return None
    domain, page = env.get_domain("py"), node["refdoc"]
    return domain.resolve_xref(env, page, app.builder, "obj", defined, node, content)


def setup(app) -> None:
    app.connect("builder-inited", write_api_pages)
    app.connect("autodoc-process-docstring", list_exports)
    app.connect("autodoc-skip-member", skip_imported)
    app.connect("missing-reference", resolve_export)
