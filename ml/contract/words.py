"""What the contract says to people, in English unless the program that shows it translates. Called by its validators.

The contract imports nothing of the app, so the app puts its translator in here for the time of a request
(app/language.py); ml, the worker and the command line leave it as it is and get English.
"""

from collections.abc import Callable
from contextvars import ContextVar

#: from a message as it stands in the code to the same in the reader's language
TRANSLATOR: ContextVar[Callable[[str], str]] = ContextVar("translator", default=str)


def text(message: str, /, **values: object) -> str:
    """`message` with its `%(name)s` filled in. A literal at the call: from there it goes into the catalogue."""
    return TRANSLATOR.get()(message) % values
