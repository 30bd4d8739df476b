"""Imports code of the user's, from a module or from a file of any name."""

import hashlib
import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

from aa_detectron.errors import InputError


def import_code(name: str, asked: str) -> ModuleType:
    """Imports a module or a file, once in a process.

    The folder of a file is put first on ``sys.path``, as Python does for a script, so a file can
    import the files beside it. For a module, the current folder is put there.

    Args:
        name: name of a module in the current folder or in an installed package, or path of a .py
            file.
        asked: where the name comes from, for messages, such as "--import my_data.py".

    Raises:
        InputError: there is no such module or file.
        Exception: an error of the code itself, unchanged.
    """
    if name.endswith(".py") or "/" in name or os.sep in name:
        return _import_file(Path(name).expanduser(), asked)
    return _import_module(name, asked)


def _import_module(name: str, asked: str) -> ModuleType:
    if not name or name.startswith("."):
        raise InputError(f"{asked}: {name!r} is neither a module nor a .py file")
    _put_on_path(os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # the user's module exists, but a module that it imports does not
        raise InputError(f"{asked}: there is no module {error.name}") from None


def _import_file(path: Path, asked: str) -> ModuleType:
    path = path.resolve()
    if path.suffix != ".py" or not path.is_file():
        reason = "is no .py file" if path.exists() else "does not exist"
        raise InputError(f"{asked}: {path} {reason}")
    _put_on_path(str(path.parent))
    # The name by which other files would import it; a worker process unpickles by this name, too.
    # Another module that has the name already keeps it.
    name = path.stem
    if not _is_of(sys.modules.get(name), path):
        number = hashlib.blake2b(os.fsencode(path), digest_size=4).hexdigest()
        name = f"{name}_{number}" if name in sys.modules else name
    return sys.modules[name] if name in sys.modules else _execute(name, path)


def _is_of(module: ModuleType | None, path: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).resolve() == path


def _execute(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # since the name ends in .py
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _put_on_path(folder: str) -> None:
    if folder not in sys.path:
        sys.path.insert(0, folder)
