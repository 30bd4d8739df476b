import pytest

from aa_detectron.errors import InvalidOption
from aa_detectron.layers.per_place import joined_names, names_per_place


@pytest.mark.parametrize(
    "name, names",
    [
        ("blur", ("blur",) * 4),
        (["blur"], ("blur",) * 4),
        ("blur,adaptive, flc ,none", ("blur", "adaptive", "flc", "none")),
        (("a", "b", "c", "d"), ("a", "b", "c", "d")),
    ],
)
def test_names(name, names):
    assert names_per_place(name) == names
    assert names_per_place(joined_names(names)) == names


def test_shortest():
    assert joined_names(("none",) * 4) == "none"


@pytest.mark.parametrize("name", ["a,b", "a,b,c,d,e", [], [1, 2, 3, 4], ["a", "b", None, "d"]])
def test_illegal(name):
    legal = "one name, or four with commas between them, for stem, res3, res4, res5"
    with pytest.raises(InvalidOption, match=f"^KEY is .*{legal}"):
        names_per_place(name, "KEY")
