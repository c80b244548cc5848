"""`pairboard web --processes 2`: one port, one secret, one sum of requests; nobody is left behind, however it ends."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2
import pytest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.parser import text_string_to_metric_families

from tests.processes import SetUp, set_up
from tests.test_up import with_folder

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads /proc")
ROUTE = {"method": "GET", "route": "/health/live", "status": "200"}


@pytest.fixture
def line(tmp_path: Path) -> Iterator[SetUp]:
    """A web server of two processes, its temporary files in a folder of the test."""
    (tmp_path / "tmp").mkdir()
    with set_up(tmp_path, PAIRBOARD_WEB_PROCESSES="2", TMPDIR=str(tmp_path / "tmp")) as made:
        made.start_web()
        made.until(lambda: len(serving(made)) == 2, "both processes to listen")
        yield made
        for pid in with_folder(tmp_path / "data"):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def serving(line: SetUp) -> list[int]:
    """The children that live and have begun to count."""
    return sorted(int(file.stem.rsplit("_", 1)[1]) for file in counted(line) if alive(file))


def counted(line: SetUp) -> list[Path]:
    return list((line.folder / "tmp").glob("pairboard-metrics-*/histogram_*.db"))


def alive(file: Path) -> bool:
    return Path(f"/proc/{file.stem.rsplit('_', 1)[1]}/exe").exists()


def all_gone(line: SetUp) -> None:
    """Nobody is left; what only watches over the others ends a moment after them."""
    line.until(lambda: with_folder(line.folder / "data") == {}, "the processes to go")


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Meanwhile only the other one can answer."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def ask(line: SetUp, times: int) -> None:
    """Each on a connection of its own."""
    for _ in range(times):
        assert httpx2.get(f"{line.url}/health/live", timeout=20).status_code == 200


def told(line: SetUp, name: str) -> float:
    """A sample of /metrics about the route that `ask` asks."""
    answer = httpx2.get(f"{line.url}/metrics", timeout=20)
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            if sample.name == name and (not sample.labels or ROUTE.items() <= sample.labels.items()):
                return float(sample.value)
    return 0.0


def of(pid: int, line: SetUp) -> float:
    """What this process alone counted."""
    (file,) = [file for file in counted(line) if file.stem.endswith(f"_{pid}")]
    samples = [sample for metric in MultiProcessCollector.merge([str(file)]) for sample in metric.samples]
    return sum(s.value for s in samples if s.name == "pairboard_request_seconds_count" and dict(s.labels) == ROUTE)


def test_requests_of_both_are_one_sum_and_survive_a_kill(line: SetUp) -> None:
    first, second = serving(line)
    ask(line, 3)  # whoever takes them
    # A request is counted when it has ended, which is a moment after its answer has come.
    line.until(lambda: of(first, line) + of(second, line) == 3, "the first three to be counted")
    before = {pid: of(pid, line) for pid in (first, second)}
    with frozen(first):
        ask(line, 4)
        line.until(lambda: of(second, line) - before[second] == 4, "the second to count its four")
    with frozen(second):
        ask(line, 6)
        line.until(lambda: of(first, line) - before[first] == 6, "the first to count its six")
    assert told(line, "pairboard_request_seconds_count") == 13
    os.kill(second, signal.SIGKILL)
    line.until(lambda: len(serving(line)) == 2 and second not in serving(line), "a new process in its place")
    assert told(line, "pairboard_request_seconds_count") == 13
    assert told(line, "pairboard_disk_free_bytes") > 0  # from neither, but from the disk and the rows
    (_, new) = sorted(serving(line), key=lambda pid: pid != first)
    line.until(lambda: "Child process" in line.logs(), "the log to tell")
    with frozen(first):
        ask(line, 2)
        line.until(lambda: of(new, line) == 2, "the new one to count its two")
    assert told(line, "pairboard_request_seconds_count") == 15


def sigterm_ends_all(line: SetUp) -> None:
    begin = time.monotonic()
    assert line.stop("web") == 0, line.logs()
    assert time.monotonic() - begin < 15
    all_gone(line)
    assert list((line.folder / "tmp").glob("pairboard-metrics-*")) == []
    assert "Traceback" not in line.logs(), line.logs()


def test_both_know_a_session_that_one_began(line: SetUp) -> None:
    """Although PAIRBOARD_SECRET is not set."""
    add = line.command("user", "add", "ada")
    done = subprocess.run(add, env=line.env, input=b"correct horse battery\n", check=False)
    assert done.returncode == 0
    first, second = serving(line)
    behind_proxy = {"X-Forwarded-For": "10.0.0.1"}
    with frozen(first):
        body = {"name": "ada", "password": "correct horse battery"}
        answer = httpx2.post(f"{line.url}/sign-in", data=body, headers=behind_proxy, timeout=20)
    assert answer.headers["location"] == "/"
    cookies = {"pairboard_session": answer.cookies["pairboard_session"]}
    for idle in (first, second):
        with frozen(idle):
            found = httpx2.get(f"{line.url}/", headers=behind_proxy, cookies=cookies, timeout=20)
            assert found.headers.get("location") != "/sign-in"
            stranger = httpx2.get(f"{line.url}/", headers=behind_proxy, timeout=20)
            assert stranger.headers["location"] == "/sign-in"
    sigterm_ends_all(line)


def test_a_killed_parent_leaves_no_child(line: SetUp) -> None:
    assert len(with_folder(line.folder / "data")) >= 3
    line.kill("web")
    all_gone(line)
    assert "Traceback" not in line.logs(), line.logs()
    line.start_web()  # the port is free


def test_a_parent_ends_with_its_own(tmp_path: Path) -> None:
    """What `pairboard up` relies on."""
    with set_up(tmp_path, PAIRBOARD_LOG_FORMAT="json") as line:
        command = line.command("web", "--processes", "2", "--die-with-parent")
        with (tmp_path / "web.log").open("wb") as log:
            web = subprocess.Popen(command, env=line.env, stdin=subprocess.PIPE, stdout=log, stderr=log)
        try:
            line.until(lambda: line.answers(), "the web server to answer")
            assert web.stdin is not None
            web.stdin.close()
            assert web.wait(30) == 0
        finally:
            web.kill()
            web.wait()
        all_gone(line)
        lines = (tmp_path / "web.log").read_text().splitlines()
        assert lines
        assert all(text.startswith("{") for text in lines), lines  # uvicorn's lines among them


def test_what_hinders_all_is_said_once(tmp_path: Path) -> None:
    """No tables, a port that is taken, processes that can't begin: each ends the whole with a code that is not 0."""
    line = SetUp(tmp_path, PAIRBOARD_WEB_PROCESSES="2")

    def start() -> subprocess.CompletedProcess[str]:
        return subprocess.run(line.command("web"), env=line.env, capture_output=True, text=True, check=False)

    done = start()
    assert done.returncode == 2
    assert done.stderr.count("run `pairboard migrate`") == 1
    assert "Traceback" not in done.stderr
    line.prepare()
    with socket.create_server(("127.0.0.1", int(line.env["PAIRBOARD_PORT"]))):
        done = start()
    assert done.returncode == 3
    assert "address already in use" in done.stderr.lower()
    torn = tmp_path / "data" / "storage" / "incoming-folder"  # can't be removed as the file that it should be
    torn.mkdir(parents=True)
    os.utime(torn, (0, 0))
    done = start()
    assert done.returncode == 3
    assert "failed to start, stopping the parent process" in done.stderr
    line.close()
