"""`python -m ml job.json out/`: one run; its events are JSON lines on stdout, and nothing else is.

Exit code 0 after `finished`, 1 after `failed` and `crashed`, 143 after SIGTERM; a training then saves itself first and
tells `returned`.
"""

import argparse
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import TextIO

from ml.contract.collector import collector_rests
from ml.contract.events import Crashed, Failed, Returned
from ml.contract.lifeline import die_with_parent
from ml.errors import Killed, RunError
from ml.teller import teller


def main() -> int:
    """Parse the command line, run, and turn any exception into a Failed event."""
    parser = argparse.ArgumentParser(prog="python -m ml", description="Do one run and tell its events on stdout.")
    parser.add_argument("job", type=Path, help="job.json; the inputs it names lie beside it")
    parser.add_argument("out", type=Path, help="folder for artifacts")
    parser.add_argument("--die-with-parent", action="store_true", help="stop when stdin, a pipe, reaches its end")
    parser.add_argument("--one-of-several", action="store_true", help="(a process that torchrun started)")
    args = parser.parse_args()
    if args.die_with_parent:
        die_with_parent()
    tell = teller(_keep_stdout())
    try:
        # here: torch takes seconds, and failing to import it is a failure to tell
        with collector_rests():
            from ml import fresh, parallel, stopping
            from ml.run import read_job, run

        job = read_job(args.job)
        processes = parallel.processes_of(job)
        if processes > 1 and not args.one_of_several:
            return parallel.launch(processes, args.job.absolute(), args.out.absolute(), tell)
        if job.kind == "finetune" and not args.one_of_several:
            fresh.keep()
        if processes == 1:
            stopping.listen()
        try:
            run(args.job.absolute(), args.out.absolute(), tell)
        except stopping.Stopped as stopped:
            tell(Returned(reason=str(stopped)))
            return 128 + signal.SIGTERM
    except Killed as killed:
        tell(Crashed(reason=str(killed), detail=traceback.format_exc()))
        return 1
    except Exception as error:
        tell(Failed(reason=reason(error), detail=traceback.format_exc()))
        return 1
    return 0


def _keep_stdout() -> TextIO:
    """Stdout for events alone: from now on what others print, C libraries too, goes to stderr."""
    sys.stdout.flush()
    own = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(own, "w", encoding="utf-8")


def reason(error: Exception) -> str:
    """One sentence for a person."""
    if isinstance(error, RunError):
        return str(error)
    first = (str(error).strip() or "no message").splitlines()[0]
    if "out of memory" in first or "allocate memory" in first or isinstance(error, MemoryError):
        return f"memory ran out ({first[:200]}): lower batch_size or max_length, or take a smaller encoder"
    if isinstance(error, OSError):
        return f"a file could not be read or written ({error}): check the disk and the folder"
    return f"unexpected {type(error).__name__} ({first[:300]}): the traceback in detail tells where"


if __name__ == "__main__":
    sys.exit(main())
