"""The trainer as a child: what it says, how it dies, and that nothing of it is left."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml.contract.events import Crashed, Failed, Finished, Log
from worker import child as child_module
from worker.child import Child


@pytest.fixture
def fake_ml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package `ml` whose program is what the test writes into it."""
    package = tmp_path / "lib" / "ml"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "lib"))
    monkeypatch.setattr(child_module, "GRACE_S", 0.5)
    return package / "__main__.py"


def events(folder: Path) -> list[object]:
    child = Child(folder)
    try:
        return list(child.events())
    finally:
        child.stop()
        child.close()


def test_lines_become_events(fake_ml: Path, tmp_path: Path) -> None:
    finished = json.dumps({"type": "finished", "seconds": 1})
    fake_ml.write_text(f"print('a stray print')\nprint('''{finished}''')\nprint('after the end')")
    assert events(tmp_path) == [Log(level="warning", message="a stray print"), Finished(seconds=1)]


@pytest.mark.parametrize(
    ("program", "last_word", "reason"),
    [
        ("import sys; sys.stderr.write('why\\n'); sys.exit(3)", Failed, "exit code 3"),
        ("import os; os.kill(os.getpid(), 9)", Crashed, "killed by SIGKILL: perhaps the machine ran out of memory"),
        ("import os; os.kill(os.getpid(), 11)", Crashed, "killed by SIGSEGV"),
        ("raise MemoryError", Failed, "exit code 1"),
    ],
)
def test_a_death_without_a_word_is_told_with_its_log(
    fake_ml: Path, tmp_path: Path, program: str, last_word: type[Failed | Crashed], reason: str
) -> None:
    fake_ml.write_text(program)
    (last,) = events(tmp_path)
    assert isinstance(last, last_word)
    assert reason in last.reason
    if "why" in program:
        assert last.detail == "why"


def test_stopping_ends_it_and_what_it_started(fake_ml: Path, tmp_path: Path) -> None:
    """Also when it does not listen to SIGTERM."""
    fake_ml.write_text(
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        'print(\'{"type":"log","message":"%d"}\' % child.pid, flush=True)\n'
        "time.sleep(600)\n"
    )
    child = Child(tmp_path)
    said = child.events()
    first = next(said)
    assert isinstance(first, Log)
    threading.Thread(target=child.stop).start()
    (last,) = said
    assert isinstance(last, Crashed)
    child.close()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and _lives(int(first.message)):
        time.sleep(0.05)
    assert not _lives(int(first.message))


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_our_secrets_are_not_handed_on(fake_ml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAIRBOARD_WORKER_TOKEN", "pb-worker_secret")
    fake_ml.write_text("import json, os\nprint(json.dumps({'type': 'log', 'message': ' '.join(sorted(os.environ))}))\n")
    first = events(tmp_path)[0]
    assert isinstance(first, Log)
    assert "PAIRBOARD" not in first.message
    assert "HF_HUB_OFFLINE" in first.message


def test_it_ends_when_its_parent_is_killed(fake_ml: Path, tmp_path: Path) -> None:
    """kill -9 of the worker leaves no trainer behind: its stdin, a pipe of ours, ends."""
    fake_ml.write_text(
        "import sys, time\nfrom pathlib import Path\n"
        f"sys.path.insert(0, {str(Path(__file__).resolve().parents[2])!r})\n"
        "del sys.modules['ml']\n"
        "from ml.contract.lifeline import die_with_parent\n"
        "die_with_parent()\n"
        f"Path({str(tmp_path / 'pid')!r}).write_text(str(__import__('os').getpid()))\n"
        "time.sleep(600)\n"
    )
    parent = os.fork()
    if parent == 0:
        Child(tmp_path)
        time.sleep(600)
        os._exit(0)
    pid_file = tmp_path / "pid"
    deadline = time.monotonic() + 20
    while not (pid_file.is_file() and pid_file.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    pid = int(pid_file.read_text())
    while _lives(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert sys.platform.startswith("linux")
