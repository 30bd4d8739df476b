import pickle

import pytest
from torch._utils import ExceptionWrapper

from aa_detectron.errors import InputError, InvalidOption, printable


@pytest.mark.parametrize(
    "text, shown",
    [
        ("a\x1b]0;evil\x07\x1b[2J", r"a\x1b]0;evil\x07\x1b[2J"),
        ("two\nlines\r\t", r"two\nlines\r\t"),
        ("gr\udcfcn", r"gr\udcfcn"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\x9b2J", r"\x9b2J"),
        ("gr\u00fcn \u7dd1 \U0001f600 a\u3000b", "gr\u00fcn \u7dd1 \U0001f600 a\u3000b"),
        (r"C:\new", r"C:\new"),
    ],
)
def test_nothing_steers_the_terminal(text, shown):
    assert printable(text) == shown
    assert str(InputError(f"{text}: broken")) == f"{shown}: broken"
    assert shown in str(InvalidOption("KEY", 1, text))
    assert "\x1b" not in str(InvalidOption("KEY", text, "legal"))


def test_error_of_a_worker_is_its_line():
    try:
        raise InputError("a\nb.png: is no image")
    except InputError:
        passed_on = pickle.loads(pickle.dumps(ExceptionWrapper(where="in worker 1")))
    with pytest.raises(InputError) as caught:
        passed_on.reraise()
    assert str(caught.value) == r"a\nb.png: is no image"
