"""A process that has loaded the program and done nothing else, so that one of its forks can do a thing with nothing but
what lies on disk. For verify.

To load torch and transformers takes longer than many a prediction. So `python -m ml` forks this process before its
training begins, instead of starting another program when it has ended; and it forks itself for every question, so that
each is answered by a process that has never predicted before. Called by `__main__` (keep) and by verify (ask).

A torch that computes on a GPU is another matter: whatever asked for one while it was loaded, and transformers asks, may
have begun to use its driver, which no fork survives. There each question starts a program.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ml.contract.collector import collector_rests
from ml.contract.lifeline import end_after


class Gone(Exception):
    """The process was killed before it could answer."""


@dataclass(frozen=True)
class Answer:
    """How the fork that was asked ended: its exit code (negative: the signal), and its error in one line."""

    code: int
    error: str


class Fresh:
    """Our ends of the pipes to one. It ends when ours is closed, at the latest with this process."""

    def __init__(self, questions: int, answers: int, wait: Callable[[], object]) -> None:
        self._questions = os.fdopen(questions, "wb", buffering=0)
        self._answers = os.fdopen(answers, "rb")
        self._wait = wait
        atexit.register(self.close)

    def close(self) -> None:
        """Have it end."""
        atexit.unregister(self.close)
        self._questions.close()
        self._answers.close()
        self._wait()

    def ask(self, *arguments: Path) -> Answer:
        """Have a fork of it run ml.predict_again. Raises Gone."""
        try:
            self._questions.write(json.dumps([str(path.absolute()) for path in arguments]).encode() + b"\n")
            said = self._answers.readline()
        except BrokenPipeError as error:
            raise Gone from error
        if not said:
            raise Gone
        return Answer(**json.loads(said))


_kept: Fresh | None = None


def keep() -> None:
    """Fork it off this process, which must not have computed yet: a fork has none of its threads."""
    global _kept
    if not _forks():
        return
    (asked, questions), (answers, answered) = os.pipe(), os.pipe()
    number = os.fork()
    if not number:
        _become(asked, answered)
    for end in (asked, answered):
        os.close(end)
    _kept = Fresh(questions, answers, lambda: os.waitpid(number, 0))


def ask(*arguments: Path) -> Answer:
    """Have ml.predict_again run by a fork of the one that was kept; where none was, as in a test, one is started and
    kept. Raises Gone."""
    global _kept
    if not _forks():
        return _program(*arguments)
    _kept = _kept or _started()
    try:
        return _kept.ask(*arguments)
    except Gone:
        _kept.close()
        _kept = None
        raise


def _forks() -> bool:
    return not (torch.version.cuda or torch.version.hip or torch.backends.mps.is_built())


def _program(*arguments: Path) -> Answer:
    """Its stdin is a pipe that we hold: if we die, it ends, too."""
    command = [sys.executable, "-m", "ml.predict_again", *map(str, arguments)]
    # Its words come by a pipe: a file may lie on the disk whose fullness it wants to tell. And not by communicate(),
    # which closes its stdin.
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None  # noqa: S101 - it was asked for
        lines = process.stdout.read().decode("utf-8", "replace").strip().splitlines()
        return Answer(process.wait(), lines[-1] if lines else "")


def _started() -> Fresh:
    (asked, questions), (answers, answered) = os.pipe(), os.pipe()
    command = [sys.executable, "-m", "ml.fresh", str(asked), str(answered)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=(asked, answered))
    for end in (asked, answered):
        os.close(end)
    return Fresh(questions, answers, process.wait)


def _become(asked: int, answered: int) -> None:
    """Make a fork of this process the fresh one; it does not come back."""
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        # Of the files of the other nothing stays open: who reads its events waits for their end.
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)
        for name in os.listdir("/dev/fd"):
            if int(name) not in {0, 1, 2, asked, answered}:
                with suppress(OSError):
                    os.close(int(name))
        serve(asked, answered)
    finally:
        os._exit(1)


def serve(asked: int, answered: int) -> None:
    """Answer until there are no more questions; it does not come back."""
    with os.fdopen(asked, "rb", closefd=False) as questions, os.fdopen(answered, "wb", buffering=0) as answers:
        while question := questions.readline():
            answers.write(json.dumps(_forked(json.loads(question), asked)).encode() + b"\n")
    os._exit(0)


def _forked(arguments: list[str], asked: int) -> dict[str, Any]:
    reading, writing = os.pipe()
    number = os.fork()
    if not number:
        os._exit(_answer(arguments, asked, writing))
    os.close(writing)
    with os.fdopen(reading, "rb") as words:
        error = words.read().decode("utf-8", "replace")
    return {"code": os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]), "error": error}


def _answer(arguments: list[str], asked: int, writing: int) -> int:
    # nothing more comes by this pipe before we have answered, but for its end
    end_after(lambda: os.read(asked, 1))
    try:
        from ml.predict_again import predict_again

        predict_again(*map(Path, arguments))
    except BaseException as error:
        traceback.print_exc()
        os.write(writing, "".join(traceback.format_exception_only(error)).strip().splitlines()[-1].encode())
        return 1
    return 0


if __name__ == "__main__":
    with collector_rests():
        import ml.verify  # noqa: F401 - what its forks need is loaded once
    serve(*map(int, sys.argv[1:]))
