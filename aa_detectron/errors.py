"""Errors that the user can fix, each in one clear line."""

import contextlib
import sys
import unicodedata
from collections.abc import Collection, Iterator
from numbers import Integral
from typing import Any

_NOT_SHOWN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode categories of characters that control a terminal or cannot be encoded."""


class InputError(Exception):
    """Bad input in a file, a folder or a config key.

    Args:
        message: one line that names the file or key, what was found and what is legal.
    """

    def __init__(self, message: str):
        # A worker of a data loader re-raises an error with the whole traceback as its message.
        # Our own line is the last one, after the name of this class.
        if message.startswith(f"Caught {type(self).__name__} in "):
            message = message.strip().splitlines()[-1]
        line = message.removeprefix(f"{__name__}.{type(self).__name__}: ")
        super().__init__(printable(line.strip()))


class InvalidOption(ValueError):
    """An option with an illegal value.

    Args:
        option: name of the argument or config key.
        found: illegal value.
        legal: description of the legal values, to be read after "must be".
    """

    def __init__(self, option: str, found: object, legal: str):
        super().__init__(printable(f"{option} is {found!r}, but must be {legal}"))
        self.option, self.found, self.legal = option, found, legal

    def __reduce__(self) -> tuple[Any, ...]:  # the default would unpickle from the message alone
        return type(self), (self.option, self.found, self.legal)


def printable(text: str) -> str:
    """Returns the text in one line, with control characters and broken encodings escaped."""
    return "".join(
        c.encode("unicode_escape").decode() if unicodedata.category(c) in _NOT_SHOWN else c
        for c in text
    )


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's message, or the name of its class if it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def check_choice(option: str, found: object, choices: Collection[object]) -> None:
    """Rejects a value that is not one of the legal ones.

    Args:
        option: name of the argument or config key.
        found: value to check.
        choices: legal values.

    Raises:
        InvalidOption: ``found`` is not one of ``choices``.
    """
    if found not in choices:
        raise InvalidOption(option, found, "one of " + ", ".join(repr(c) for c in choices))


def check_from_1(option: str, found: object) -> None:
    """Rejects a value that is not an integer from 1.

    Args:
        option: name of the argument.
        found: value to check.

    Raises:
        InvalidOption: ``found`` is not an integer, or below 1.
    """
    if not isinstance(found, Integral) or found < 1:
        raise InvalidOption(option, found, "an integer from 1")


@contextlib.contextmanager
def exit_on_bad_input() -> Iterator[None]:
    """Ends a command with one line on stderr where the block raises an error of the user's.

    These are :class:`InputError` and :class:`InvalidOption`; the exit status is 1. Every other
    error is a bug and keeps its traceback.
    """
    try:
        yield
    except (InputError, InvalidOption) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted")
    except Exception as error:
        # The class belongs to torch.multiprocessing. It is compared by name, since this file must
        # not import torch. A child of Detectron2's launch that exited by itself has already
        # reported its error.
        if type(error).__name__ != "ProcessExitedException":
            raise
        killed = getattr(error, "signal_name", None)
        sys.exit(f"error: {error}" if killed else getattr(error, "exit_code", 1))
