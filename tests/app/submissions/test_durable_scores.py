"""An accepted score outlives a power cut: it is on the disk before its 2xx leaves. Watched from outside, as strace
sees a real web process, for a setting proves nothing about what is done."""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.db import Database
from tests.conftest import drop_postgres, missing, new_postgres
from tests.factories import TINY
from tests.processes import SetUp, set_up
from tests.test_straight_line import make_contest

POSTS = 5


def strace() -> str:
    path = shutil.which("strace")
    if path is None:
        missing("no strace on the PATH")
        raise AssertionError
    return path


@contextmanager
def traced(line: SetUp, trace: Path) -> Iterator[None]:
    """What the web process syncs and sends, in its order, in `trace`."""
    calls = "trace=fsync,fdatasync,sendto,sendmsg,write"
    command = [strace(), "-f", "-y", "-s", "24", "-e", calls, "-o", str(trace), "-p", str(line.pid("web"))]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as watching:
        assert watching.stderr is not None
        said = watching.stderr.readline()
        if "attached" not in said:
            missing(f"strace may not watch: {said.strip()}")
        yield
        watching.terminate()


def test_sqlite_syncs_the_score_before_its_answer(tmp_path: Path) -> None:
    """Several, one after the other: even synchronous=NORMAL syncs once in a while."""
    trace = tmp_path / "trace"
    with set_up(tmp_path, PAIRBOARD_SWEEP_SECONDS="600") as line:
        line.start_web()
        make_contest(line)
        body = {"name": "scored", "config": {**TINY, "pretrain": None}}
        made = line.http.post("/api/v1/contests/oppo/experiments", json=body).raise_for_status().json()
        with traced(line, trace):
            for number in range(POSTS):
                path = f"/api/v1/experiments/{made['id']}/online-scores"
                assert line.http.post(path, json={"value": 0.8 + number / 100}).status_code == 201
                time.sleep(0.1)
    synced, answers = False, 0
    for text in trace.read_text().splitlines():
        if re.search(r"f(data)?sync.*pairboard\.db-wal", text):
            synced = True
        elif "HTTP/1.1 201" in text:
            assert synced, f"answer {answers + 1} left before the score was synced:\n{trace.read_text()}"
            synced, answers = False, answers + 1
    assert answers == POSTS


def test_postgres_waits_for_its_disk() -> None:
    """Our sessions leave synchronous_commit as strict as it comes."""
    url = new_postgres()
    database = Database(url)
    with database.writing() as session:
        found = session.connection().exec_driver_sql("SHOW synchronous_commit").scalar()
    database.dispose()
    drop_postgres(url)
    assert found == "on"
