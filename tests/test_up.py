"""`pairboard up`: starts everything, starts again what dies, and Ctrl-C leaves no process behind."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

from tests.processes import ROOT


def with_folder(folder: Path) -> dict[int, str]:
    """Every process whose environment names this data folder: its command line by pid."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if f"PAIRBOARD_DATA_DIR={folder}".encode() in (entry / "environ").read_bytes():
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if command:
                    found[int(entry.name)] = command
        except OSError:
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads /proc")
@pytest.mark.parametrize(("how", "processes"), [("Ctrl-C", "2"), ("kill -9", "1")])
def test_up_and_down(tmp_path: Path, how: str, processes: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path / "data"
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PAIRBOARD_")}
    env = {**plain, "PAIRBOARD_DATA_DIR": str(folder), "PAIRBOARD_PORT": str(port)}
    env["PAIRBOARD_WEB_PROCESSES"] = processes
    log = tmp_path / "log"
    with log.open("wb") as out:
        up = subprocess.Popen(
            [sys.executable, "-m", "app", "up"], env=env, cwd=ROOT, stdout=out, stderr=out, start_new_session=True
        )

    def workers() -> int:
        try:
            found: int = httpx2.get(f"http://127.0.0.1:{port}/health", timeout=5).json()["workers"]
        except httpx2.TransportError:
            return 0
        return found

    def wait_for(holds: object) -> None:
        deadline = time.monotonic() + 60
        while not holds():  # type: ignore[operator]
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)

    try:
        wait_for(lambda: workers() == 1)
        assert "is away" not in log.read_text()
        web = next(pid for pid, command in with_folder(folder).items() if " web" in command)
        os.kill(web, signal.SIGKILL)
        wait_for(lambda: "web ended (-9); starting it again" in log.read_text())
        wait_for(lambda: workers() == 1)
        if how == "Ctrl-C":
            os.killpg(up.pid, signal.SIGINT)  # as a terminal does: the whole foreground group
            assert up.wait(40) == 0, log.read_text()
        else:
            up.kill()
            up.wait()
        wait_for(lambda: with_folder(folder) == {})
        assert "Traceback" not in log.read_text(), log.read_text()
    finally:
        for pid in with_folder(folder):
            os.kill(pid, signal.SIGKILL)


def test_a_taken_port_is_said_at_once(tmp_path: Path) -> None:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PAIRBOARD_")}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        env = {**plain, "PAIRBOARD_DATA_DIR": str(tmp_path), "PAIRBOARD_PORT": str(port)}
        command = [sys.executable, "-m", "app", "up"]
        up = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert up.returncode == 2
    assert f"127.0.0.1:{port} can't be listened on" in up.stderr
    assert "Traceback" not in up.stderr
