"""Errors that are the user's to mend, each one clear line."""

import contextlib
import sys
import unicodedata

_NOT_SHOWN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode's categories of what steers a terminal, or cannot be encoded."""


class InputError(Exception):
    """Bad input: a file, a folder or a config key, with what was found and what is legal."""

    def __init__(self, message: str):
        # A data loader's worker passes its errors on as a whole traceback in the message.
        # The line that we wrote is the last one, behind the name of this class.
        if message.startswith(f"Caught {type(self).__name__} in "):
            message = message.strip().splitlines()[-1]
        line = message.removeprefix(f"{__name__}.{type(self).__name__}: ")
        super().__init__(printable(line.strip()))


class InvalidOption(ValueError):
    """An option with an illegal value.

    Args:
        option: name of the argument or config key.
        found: the value found.
        legal: the legal values, in words.
    """

    def __init__(self, option: str, found, legal: str):
        super().__init__(printable(f"{option} is {found!r}, but must be {legal}"))
        self.option, self.found, self.legal = option, found, legal

    def __reduce__(self):  # or unpickling would pass the message alone
        return type(self), (self.option, self.found, self.legal)


def printable(text: str) -> str:
    """The text in one line for any terminal: control characters and broken encodings escaped."""
    return "".join(
        c.encode("unicode_escape").decode() if unicodedata.category(c) in _NOT_SHOWN else c
        for c in text
    )


def check_choice(option: str, found, choices) -> None:
    """Raises :class:`InvalidOption` unless ``found`` is one of ``choices``."""
    if found not in choices:
        raise InvalidOption(option, found, "one of " + ", ".join(repr(c) for c in choices))


@contextlib.contextmanager
def exit_on_bad_input():
    """For command lines: an :class:`InputError`, or an illegal option, ends in one line on stderr.

    Exit status 1. Every other error is a bug and keeps its traceback.
    """
    try:
        yield
    except (InputError, InvalidOption) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted")
    except Exception as error:
        # torch.multiprocessing's, by name: this file must not import torch. A child of
        # detectron2's launch that exited has reported its error already.
        if type(error).__name__ != "ProcessExitedException":
            raise
        sys.exit(f"error: {error}" if error.signal_name else error.exit_code)
