"""How a run speaks: events as JSON lines, one a line, flushed at once. Every stage is handed a `Tell`."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TextIO

from ml.contract.events import Artifact, Event, Log

Tell = Callable[[Event], None]


def teller(stream: TextIO) -> Tell:
    """A function that writes an event on `stream` as one line of JSON."""

    def tell(event: Event) -> None:
        stream.write(event.model_dump_json() + "\n")
        stream.flush()  # the worker reads the line now, not when a buffer is full

    return tell


def log(tell: Tell, message: str, level: Literal["info", "warning"] = "info") -> None:
    """Tell one line to the person who reads the run's page."""
    tell(Log(level=level, message=message))


def tell_artifacts(tell: Tell, out: Path, names: list[str]) -> None:
    """Tell one Artifact event for each file of `out` in `names`, with its sha256 and its size in bytes."""
    for name in names:
        path = out / name
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        tell(Artifact(name=name, path=name, sha256=sha256, size=path.stat().st_size))
