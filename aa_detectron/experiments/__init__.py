"""Experiments: figures and comparisons of models, an extra.

The core of the package does not import it, with one exception: the command ``aa-consistency plot``
imports :mod:`.figures.curves` by its name when it runs.
"""

from importlib.util import find_spec

_DISTRIBUTIONS = {
    "jinja2": "jinja2",
    "matplotlib": "matplotlib",
    "numba": "numba",
    "skimage": "scikit-image",
}


def require_extra(*modules: str) -> None:
    """Checks that packages of the extra ``experiments`` are installed.

    Args:
        modules: import names, "matplotlib" for example.

    Raises:
        ImportError: one line that names the missing packages and the extra.
    """
    missing = [_DISTRIBUTIONS[module] for module in modules if not _is_installed(module)]
    if missing:
        raise ImportError(
            f"aa_detectron.experiments needs {', '.join(missing)}: "
            "pip install 'aa_detectron[experiments]'"
        )


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ImportError:  # an import hook blocks the package
        return False
