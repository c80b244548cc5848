"""Carries what the trainer writes to stderr home, line by line, as events of its attempt. Called by tasks.

The lines travel as every event does: spooled, numbered, sent again until they are stored, stored once. Of a very long
log its begin and its end go home, and how much lies between them.
"""

import logging
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from ml.contract.events import Printed

log = logging.getLogger(__name__)
EVERY_S = 1.0
#: of an attempt: so much from the begin, and at its end so much of what came after
BEGIN_BYTES, END_BYTES = 2 << 20, 256 << 10
PIECE_BYTES = 64 << 10  # an event's
LONGEST_LINE = 2000
#: colours and cursor movements of terminals; everything else that is no text
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-_]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Reader:
    """Reads a growing file and hands on its lines. `append` writes an event down, or raises OSError."""

    def __init__(self, path: Path, append: Callable[[Printed], None]) -> None:
        self._path, self._append = path, append
        self._read = 0  # bytes
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="printed", daemon=True)

    def start(self) -> None:
        """Read on in the background."""
        self._thread.start()

    def close(self) -> None:
        """Hand on what is left, a line without its end included. The second time there is nothing left."""
        self._closing.set()
        self._hand_on(last=True)

    def _follow(self) -> None:
        while not self._closing.wait(EVERY_S):
            self._hand_on()

    def _hand_on(self, *, last: bool = False) -> None:
        try:
            with self._lock:
                for event, read in self._news(last=last):
                    self._append(event)
                    self._read = read
        except OSError as error:  # a full disk: the next time goes on from here
            log.warning("lines of %s can't be read or written down: %s", self._path, error)

    def _news(self, *, last: bool) -> Iterator[tuple[Printed, int]]:
        """Events of what is new, and how far one has read with each."""
        if not self._path.is_file():
            return
        size, left_out = self._path.stat().st_size, 0
        with self._path.open("rb") as file:
            while self._read < size:
                if self._read >= BEGIN_BYTES:
                    if not last:
                        return
                    begin = max(self._read, size - END_BYTES)
                    left_out, self._read = begin - self._read, begin
                    size = min(size, begin + END_BYTES)
                file.seek(self._read)
                piece = file.read(min(PIECE_BYTES, size - self._read))
                whole = piece.rfind(b"\n") + 1
                if not whole and not last and len(piece) < PIECE_BYTES:
                    return  # the line is not at its end yet
                piece = piece[:whole] if whole else piece
                lines = tuple(map(_plain, piece.removesuffix(b"\n").split(b"\n")))
                yield Printed(lines=lines, left_out=left_out), self._read + len(piece)
                left_out = 0


def _plain(line: bytes) -> str:
    """What a terminal would show at last: a progress bar writes itself anew behind each carriage return."""
    text = _ESCAPES.sub("", line.decode("utf-8", "replace")).rstrip("\r").rpartition("\r")[2]
    text = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
    over = len(text) - LONGEST_LINE
    return f"{text[:LONGEST_LINE]} … ({over} more characters)" if over > 0 else text
