"""`python ranks.py plan.json`: runs of ml one after the other, each by processes that meet as torchrun's do.

They are forked from this one, which has loaded torch: to load it takes each process seconds, and the tests of
test_parallel start dozens. A plan is a list of [job, out, processes, stop]; what the first process tells goes to
`<out>.jsonl`. With stop the first process ends after its first save, and the others are killed. The last line is the
exit codes of the first processes as JSON.
"""

import json
import os
import signal
import socket
import sys
from pathlib import Path

from ml.contract.collector import collector_rests

with collector_rests():
    from ml import __main__ as program
    from ml import resume, run  # noqa: F401 - run: what takes the seconds


def _save_and_stop(folder: Path, state: object) -> None:
    _SAVE(folder, state)
    os._exit(3)


_SAVE = resume.save


def _rank(rank: int, processes: int, port: int, job: str, out: str, stop: bool) -> None:
    """Never returns: it is the run."""
    told = os.open(f"{out}.jsonl" if rank == 0 else os.devnull, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(told, 1)
    if stop:
        resume.save = _save_and_stop
    sys.argv = ["ml", job, out]
    if processes > 1:
        found = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "MASTER_PORT": port}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "TORCHELASTIC_RUN_ID": "forked"}
        os.environ |= {name: str(value) for name, value in found.items()}
        sys.argv.append("--one-of-several")
    code = 70
    try:
        code = program.main()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _do(job: str, out: str, processes: int, stop: bool) -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    children = []
    for rank in range(processes):
        if not (child := os.fork()):
            _rank(rank, processes, port, job, out, stop)
        children.append(child)
    code = os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1])
    for child in children[1:]:
        if code:
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return code


if __name__ == "__main__":
    codes = [_do(*item) for item in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))]
    sys.stdout.write(json.dumps(codes) + "\n")
