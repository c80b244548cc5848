"""Starts `python -m ml job.json out/`, turns its lines into events, and sees to its end."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from ml.contract.events import EVENT, LAST_EVENTS, Crashed, Event, Failed, Log

#: what the trainer needs of our environment; the server's secrets are not among it
_PASSED_ON = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
    "VIRTUAL_ENV",
    "PYTHONPATH",
)
_SET = {
    "PYTHONUNBUFFERED": "1",
    "PYTHONUTF8": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    # the same numbers twice on CUDA need a fixed cuBLAS workspace
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    # or oneDNN builds its products anew for every width of a batch
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "16384",
}
GRACE_S = 15.0  # for a training to end its step and save itself
LOG_TAIL_LINES = 60


class Child:
    """A trainer under way. Its stdin is a pipe that we hold open: should this process die, the trainer sees the end."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "stderr.log"
        env = {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | _SET
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "ml", "job.json", "out", "--die-with-parent"],
                cwd=folder,
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # its own group: stopping it stops what it started
            )
        self._stopping = threading.Lock()

    def events(self) -> Iterator[Event]:
        """Everything it says, and at last a `crashed` or a `failed` if it went without a last word."""
        assert self._process.stdout is not None  # noqa: S101 - it was asked for
        ended = False
        for line in self._process.stdout:
            if ended or not line.strip():
                continue
            event = _event(line)
            ended = isinstance(event, LAST_EVENTS)
            yield event
        code = self._process.wait()
        if not ended and code < 0:
            name = signal.Signals(-code).name
            hint = ": perhaps the machine ran out of memory" if name == "SIGKILL" else ""
            yield Crashed(reason=f"the trainer was killed by {name}{hint}", detail=self.log_tail())
        elif not ended:
            yield Failed(reason=f"the trainer ended without a last word (exit code {code})", detail=self.log_tail())

    def stop(self, *, at_once: bool = False) -> None:
        """End it: a word first, then by force, and whatever it started with it. at_once: by force."""
        if at_once:
            self._signal(signal.SIGKILL)
            return
        with self._stopping:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE_S)
            self._signal(signal.SIGKILL)

    def close(self) -> None:
        """Let go of its pipes."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def log_tail(self) -> str:
        """The last lines of its stderr; says how many were left out."""
        lines = self.log.read_bytes().decode("utf-8", "replace").split("\n")
        left_out = len(lines) - LOG_TAIL_LINES
        return "\n".join(
            ([f"({left_out} earlier lines left out)"] if left_out > 0 else []) + lines[-LOG_TAIL_LINES:]
        ).strip()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


def _event(line: bytes) -> Event:
    """A line that is no event (a stray print of a library) is kept as a log line."""
    try:
        return EVENT.validate_json(line)
    except ValidationError:
        return Log(level="warning", message=line.decode("utf-8", "replace").strip()[:2000])
