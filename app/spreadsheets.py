"""What a spreadsheet makes of a text in a CSV that it opens. Called by whatever writes CSV."""

import re

#: some programs drop spaces before it, or take full-width signs for the others
_FORMULA = re.compile(r"[\t\r\n]|\s*[=+\-@＝＋－＠]")


def harmless(cell: object) -> object:
    """A text that would be run as a formula gets a `'`; numbers stay."""
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell
