"""Install Detectron2 into the environment whose Python runs this script.

A Detectron2 that is already importable is used as it is. Otherwise the pure-Python build of
Detectron2 0.6 comes from a wheel on the package index, and a ``.pth`` file puts it on the path. To
use upstream's build, with its compiled ops and projects, install it before.

A second run changes nothing. The last line of the output names the build in use.
"""

import importlib.util
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

CARRIER = "geowatch==0.20.0"  # Apache-2.0, Kitware
PTH_NAME = "detectron2.pth"
# Relative, so that the environment may be moved or be reached by another path.
PTH_LINE = "geowatch_tpl/submodules_static/detectron2"
COMPAT = Path(__file__).resolve().parents[1] / "aa_detectron" / "compat.py"


class InstallError(Exception):
    """The installation cannot go on; the message says why in one line."""


def is_importable(name: str = "detectron2") -> bool:
    """Whether ``name`` is a package on the path; it is not imported.

    A bare folder of that name (a clone of the repository) is no package and does not count.
    """
    spec = importlib.util.find_spec(name)
    return spec is not None and spec.origin is not None


def pip_install(requirement: str) -> None:
    """Install ``requirement`` without its dependencies; raise `InstallError` if pip fails."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", requirement]
    code = subprocess.run(command).returncode
    if code != 0:
        raise InstallError(f"pip could not install {requirement} (exit status {code}, see above)")


def write_pth(site_dir: Path) -> None:
    """Put the Detectron2 of the wheel on the path of the environment with site folder ``site_dir``.

    The file appears whole or not at all. Raises `InstallError` if the folder is not writable.
    """
    draft = site_dir / f".{PTH_NAME}.{os.getpid()}"
    try:
        draft.write_text(PTH_LINE + "\n", encoding="utf-8")
        draft.replace(site_dir / PTH_NAME)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise InstallError(f"cannot write {PTH_NAME} in {site_dir}: {error.strerror}") from error


def install_carried_build(site_dir: Path) -> None:
    """Install the pure-Python Detectron2 into ``site_dir``; keep a wheel that is installed."""
    if not (site_dir / PTH_LINE / "detectron2" / "__init__.py").is_file():
        pip_install(CARRIER)
    if not (site_dir / PTH_LINE / "detectron2" / "__init__.py").is_file():
        raise InstallError(f"{CARRIER} holds no {PTH_LINE} in {site_dir}")
    write_pth(site_dir)


def describe_build() -> str:
    """The Detectron2 that a new Python finds, in one line; `InstallError` if there is none."""
    code = "import runpy, sys; print(runpy.run_path(sys.argv[1])['describe_build']())"
    command = [sys.executable, "-c", code, str(COMPAT)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        reason = (result.stderr.strip() or "no message").splitlines()[-1]
        raise InstallError(f"Detectron2 is installed but cannot be imported: {reason}")
    return result.stdout.strip()


def main() -> int:
    """Install if needed, then name the build in use; return the exit status."""
    try:
        if not is_importable():
            install_carried_build(Path(sysconfig.get_path("purelib")))
        print(describe_build())
    except InstallError as error:
        print(f"install_detectron2: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
