"""Log lines that say which run, attempt or request they are about. Set up by app and worker as each starts.

`about(run=12, attempt=2)` around a block, or `extra={"run": 12}` with one line.
"""

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]
IDS = ("run", "attempt", "request")
#: lines of libraries that say nothing to whoever runs pairboard
_QUIET = {"httpx2": logging.WARNING, "alembic": logging.WARNING, "kombu.connection": logging.ERROR}
#: but line breaks and tabs, which tracebacks have
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_about: ContextVar[dict[str, object]] = ContextVar("about", default={})  # noqa: B039 - replaced, never changed


@contextmanager
def about(**ids: object) -> Iterator[None]:
    """Lines logged inside the block carry these ids. A new thread begins without any."""
    before = _about.set({**_about.get(), **ids})
    try:
        yield
    finally:
        _about.reset(before)


class WithIds(logging.Filter):
    """Puts the ids of `about` on a record; those of the line itself go first."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Every record passes."""
        for name, value in _about.get().items():
            if not hasattr(record, name):
                setattr(record, name, value)
        return True


class TextFormatter(logging.Formatter):
    """`worker INFO run=12 attempt=2 the message`, with the time in front where nobody else writes one."""

    def __init__(self, who: str) -> None:
        super().__init__("%(asctime)s %(who)s %(levelname)s %(ids)s%(message)s", "%Y-%m-%dT%H:%M:%S%z")
        self._who = who

    def format(self, record: logging.LogRecord) -> str:
        """One line, and a traceback behind it if there is one. What somebody sent can't act on the terminal."""
        ids = [f"{name}={getattr(record, name)} " for name in IDS if hasattr(record, name)]
        record.who, record.ids = self._who, "".join(ids)
        return _CONTROL.sub(lambda sign: f"\\x{ord(sign[0]):02x}", super().format(record))


def configure(level: LogLevel, formatter: logging.Formatter) -> None:
    """Everything at or above the level goes to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    handler.addFilter(WithIds())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(least)
