"""What installing the package promises: metadata, pins, and tools/install_detectron2.py."""

import ast
import importlib.util
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import setuptools
from packaging.requirements import Requirement

import aa_detectron

ROOT = Path(__file__).resolve().parents[1]
CARRIED = "geowatch_tpl/submodules_static/detectron2"


# -- Metadata ------------------------------------------------------------------------------------


@pytest.fixture
def metadata(monkeypatch):
    """The keywords that setup.py gives to ``setup``."""
    keywords = {}
    monkeypatch.setattr(setuptools, "setup", lambda **given: keywords.update(given))
    monkeypatch.chdir(ROOT)  # as pip does
    runpy.run_path(str(ROOT / "setup.py"))
    return keywords


def read_pins():
    """Name in lower case -> requirement, of requirements-dev.txt and the file it includes."""
    lines = []
    for name in ("requirements.txt", "requirements-dev.txt"):
        lines += (ROOT / name).read_text().splitlines()
    lines = [line.split("#")[0].strip() for line in lines]
    pins = [Requirement(line) for line in lines if line and not line.startswith("-r ")]
    return {pin.name.lower(): pin for pin in pins}


def test_name_version_and_licence(metadata):
    assert metadata["name"] == "aa_detectron"
    assert metadata["version"] == aa_detectron.__version__
    assert metadata["license"] == "Apache-2.0"
    assert metadata["python_requires"] == ">=3.10"
    licence = (ROOT / "LICENSE").read_text()
    assert "Version 2.0, January 2004" in licence and "END OF TERMS AND CONDITIONS" in licence


def test_exactly_our_packages_are_installed(metadata):
    folders = {path.parent for path in (ROOT / "aa_detectron").rglob("*.py")}
    ours = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert set(metadata["packages"]) == ours | {"aa_detectron.configs"}


def test_requirements_are_loose_and_leave_opencv_and_detectron2_to_the_user(metadata):
    requirements = [Requirement(text) for text in metadata["install_requires"]]
    assert not any("==" in str(requirement.specifier) for requirement in requirements)
    names = {requirement.name.lower() for requirement in requirements}
    assert not any("opencv" in name or "detectron2" in name for name in names)


def test_every_requirement_is_pinned_within_its_range(metadata):
    pins = read_pins()
    loose = metadata["install_requires"] + metadata["extras_require"]["dev"]
    for requirement in map(Requirement, loose):
        (pin,) = pins[requirement.name.lower()].specifier
        assert pin.operator == "=="
        assert requirement.specifier.contains(pin.version), requirement
    # The pair whose compiled parts fit together.
    assert (str(pins["torch"]), str(pins["torchvision"])) == (
        "torch==2.14.1",
        "torchvision==0.29.1",
    )


DISTRIBUTIONS = {
    "PIL": "pillow",
    "hydra": "hydra-core",
    "skimage": "scikit-image",
    "yaml": "pyyaml",
}
"""{module: distribution}, where the two differ."""
NOT_REQUIRED = {"cv2", "detectron2", "triton"}  # the user's choice; triton comes with torch


def imported(path):
    """Yields the names of the top-level modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition(".")[0]


def test_every_import_is_a_requirement(metadata):
    extras = metadata["extras_require"]
    texts = [*metadata["install_requires"], *extras["experiments"], *extras["onnx"]]
    required = {Requirement(text).name.lower() for text in texts}
    for path in (ROOT / "aa_detectron").rglob("*.py"):
        modules = set(imported(path)) - {"aa_detectron", *NOT_REQUIRED, *sys.stdlib_module_names}
        assert {DISTRIBUTIONS.get(name, name) for name in modules} <= required, path


def test_source_distribution_has_no_tests(tmp_path):
    """They would be only those on the first level, without the modules that they import."""
    names = ["setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"]
    for name in (*names, "aa_detectron/__init__.py", "configs/README.md", "tests/test_models.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    command = [sys.executable, "setup.py", "--quiet", "egg_info"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    (found,) = tmp_path.glob("*.egg-info/SOURCES.txt")
    assert "configs/README.md" in found.read_text() and "tests/" not in found.read_text()


# -- tools/install_detectron2.py -----------------------------------------------------------------


@pytest.fixture
def installer(monkeypatch):
    """The script as a module. Its pip is off: a test that calls it without leave fails."""
    spec = importlib.util.spec_from_file_location(
        "install_detectron2", ROOT / "tools" / "install_detectron2.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "pip_install", lambda requirement: pytest.fail("called pip"))
    return module


def carry_detectron2(site_dir):
    """Lay down what the carrier wheel has, as far as the path is concerned."""
    package = site_dir / CARRIED / "detectron2"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("__version__ = '0.6'\n")


def test_importable_detectron2_is_used_as_it_is(installer, capsys):
    assert installer.main() == 0
    assert re.fullmatch(r"detectron2 \S+ \(.+ projects\) in .+\n", capsys.readouterr().out)


def test_carried_build_is_put_on_the_path(installer, tmp_path, monkeypatch):
    asked = []

    def pip_install(requirement):
        asked.append(requirement)
        carry_detectron2(tmp_path)

    monkeypatch.setattr(installer, "pip_install", pip_install)
    for _ in range(2):  # the second time the carrier is there
        installer.install_carried_build(tmp_path)
    assert asked == ["geowatch==0.20.0"]
    assert (tmp_path / "detectron2.pth").read_text() == CARRIED + "\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["detectron2.pth", "geowatch_tpl"]
    code = f"import site; site.addsitedir({str(tmp_path)!r}); import detectron2 as d; print(d)"
    isolated = [sys.executable, "-I", "-S", "-c", code]  # without the one installed here
    assert CARRIED in subprocess.run(isolated, capture_output=True, text=True).stdout


def test_moved_environment_still_finds_it(installer, tmp_path):
    before, after = tmp_path / "before", tmp_path / "after"
    carry_detectron2(before)
    installer.install_carried_build(before)
    before.rename(after)
    code = f"import site; site.addsitedir({str(after)!r}); import detectron2"
    assert subprocess.run([sys.executable, "-I", "-S", "-c", code]).returncode == 0


def test_clone_without_installation_does_not_count(installer, tmp_path, monkeypatch):
    (tmp_path / "bare_folder").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert not installer.is_importable("bare_folder")
    assert installer.is_importable("json")
    assert not installer.is_importable("no_such_package_at_all")


@pytest.fixture
def bare(installer, tmp_path, monkeypatch):
    """The installer in an environment without Detectron2, whose site folder is ``tmp_path``."""
    monkeypatch.setattr(installer, "is_importable", lambda: False)
    monkeypatch.setattr(installer.sysconfig, "get_path", lambda name: str(tmp_path))
    return installer


def assert_one_line_error(installer, capsys, *words):
    assert installer.main() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("install_detectron2: ")
    for word in words:
        assert word in line


def test_failing_pip_is_one_line(bare, capsys, monkeypatch):
    def fail(requirement):
        raise bare.InstallError(f"pip could not install {requirement}")

    monkeypatch.setattr(bare, "pip_install", fail)
    assert_one_line_error(bare, capsys, "geowatch==0.20.0")


def test_exit_status_of_pip_is_reported(monkeypatch):
    module = runpy.run_path(str(ROOT / "tools" / "install_detectron2.py"))
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(module["InstallError"], match="some-package .exit status 1"):
        module["pip_install"]("some-package")


def test_folder_that_cannot_be_written_is_one_line(bare, capsys, tmp_path, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied")

    carry_detectron2(tmp_path)
    monkeypatch.setattr(bare.Path, "write_text", refuse)
    assert_one_line_error(bare, capsys, "detectron2.pth", str(tmp_path), "Permission denied")
    assert not (tmp_path / "detectron2.pth").exists()


def test_wheel_without_detectron2_is_one_line(bare, capsys, monkeypatch):
    monkeypatch.setattr(bare, "pip_install", lambda requirement: None)
    assert_one_line_error(bare, capsys, "holds no")


def test_detectron2_that_does_not_import_is_one_line(installer, capsys, tmp_path, monkeypatch):
    broken = tmp_path / "compat.py"
    broken.write_text("raise ImportError('libcudart.so: no such file')\n")
    monkeypatch.setattr(installer, "COMPAT", broken)
    assert_one_line_error(installer, capsys, "cannot be imported", "libcudart.so")


# -- Makefile ------------------------------------------------------------------------------------

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def make(*arguments):
    # Without the flags that a `make test` around us hands down.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
    )


@needs_make
def test_install_is_done_once_until_a_requirement_changes(tmp_path):
    pip, stamp = tmp_path / "bin" / "pip", tmp_path / ".installed"
    pip.parent.mkdir()
    pip.touch()
    assert make("--question", "install", f"VENV={tmp_path}").returncode == 1
    stamp.touch()
    newest = (ROOT / "requirements.txt").stat().st_mtime
    os.utime(pip, (newest + 10**6, newest + 10**6))  # pip's age does not count
    assert make("--question", "install", f"VENV={tmp_path}").returncode == 0
    os.utime(stamp, (newest - 1, newest - 1))
    assert make("--question", "install", f"VENV={tmp_path}").returncode == 1


@needs_make
def test_environment_that_exists_is_used(tmp_path):
    assert "-m venv" in make("--dry-run", "install", f"VENV={tmp_path}").stdout
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "pip").touch()
    assert "-m venv" not in make("--dry-run", "install", f"VENV={tmp_path}").stdout


@needs_make
def test_help_names_every_target():
    shown = make().stdout
    for target in ("install", "demo", "test", "lint", "docs", "tutorial", "clean"):
        assert re.search(rf"^{target} ", shown, re.MULTILINE), shown
