"""Starts programs sooner: Python's garbage collector rests while modules load. Called by the programs of app and ml."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_rests() -> Iterator[None]:
    """For the imports of a program's start. What they made stays for as long as the process: to look through it again
    and again, at its end once more, was a third of the seconds in which `python -m ml` loads torch and transformers."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
