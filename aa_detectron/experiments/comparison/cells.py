"""The texts in the cells of tables."""

import math


def format_difference(difference: dict | None) -> str:
    """Text such as "+1.23 (0.45 to 2.01)", with a note if the interval contains zero."""
    if difference is None:
        return ""
    if math.isnan(difference["value"]):
        return "no value"
    text = "{value:+.2f} ({low:.2f} to {high:.2f})".format(**difference)
    if math.isnan(difference["low"]):
        return f"{difference['value']:+.2f} (no interval)"
    return text + ", contains zero" if difference["holds_zero"] else text


def plain_line(name: str) -> str:
    """A name as the text of a table's cell, without line breaks and with escaped "|"."""
    return " ".join(name.split()).replace("|", "\\|")
