"""Python's own import of a script or a module is the reference."""

import sys

import pytest

from aa_detectron.errors import InputError
from aa_detectron.utils.user_code import import_code


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """The current folder; what a test imports from it ends with the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = dict(sys.modules)
    yield tmp_path
    for name in sys.modules.keys() - before.keys():
        del sys.modules[name]


def write(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_module_of_the_current_folder(home):
    write(home / "parts_in_cwd.py", "value = 7")
    assert import_code("parts_in_cwd", "--import").value == 7


@pytest.mark.parametrize("name", ["sub/my-parts.py", "./sub/../sub/my-parts.py", "{}/my-parts.py"])
def test_file_with_files_beside_it(home, name):
    write(home / "sub" / "beside_my_parts.py", "value = 3")
    write(home / "sub" / "my-parts.py", "from beside_my_parts import value")
    assert import_code(name.format(home / "sub"), "--import").value == 3


def test_one_file_is_executed_once(home):
    write(home / "counted.py", "with open('count', 'a') as file: file.write('x')")
    modules = [import_code(name, "") for name in ("counted.py", "./counted.py", "counted")]
    assert modules[0] is modules[1] is modules[2]
    assert (home / "count").read_text() == "x"


def test_file_with_the_name_of_a_module(home):
    import json

    write(home / "json.py", "with open('count', 'a') as file: file.write('x')\nvalue = 5")
    for _ in range(2):
        assert import_code("json.py", "").value == 5
    assert sys.modules["json"] is json and (home / "count").read_text() == "x"


@pytest.mark.parametrize(
    "name, message",
    [
        ("no_such_module_1", "ask: there is no module no_such_module_1"),
        ("json.no_such", "ask: there is no module json.no_such"),
        ("", "ask: '' is neither a module nor a .py file"),
        (".x", "ask: '.x' is neither a module nor a .py file"),
        ("no-such.py", "/no-such.py does not exist"),
        ("sub/", "/sub is no .py file"),
        ("sub/a.txt", "/sub/a.txt is no .py file"),
    ],
)
def test_what_does_not_exist_is_named(home, name, message):
    write(home / "sub" / "a.txt", "")
    with pytest.raises(InputError) as rejected:
        import_code(name, "ask")
    assert str(rejected.value).endswith(message)


@pytest.mark.parametrize("name", ["broken_parts.py", "broken_parts"])
def test_errors_of_the_code_are_its_own(home, name):
    file = write(home / "broken_parts.py", "import no_such_module_2")
    with pytest.raises(ModuleNotFoundError, match="no_such_module_2"):
        import_code(name, "")
    file.write_text("value = 1  # corrected")
    assert import_code(name, "").value == 1
