"""The wheel, as the Dockerfile builds and installs it: from the files that it copies, with templates and migrations."""

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx2

from tests.processes import ROOT, SetUp

PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"]


def copied() -> list[str]:
    """What the Dockerfile takes of the repository."""
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    return [word for line in lines for word in line.split()]


def installed(folder: Path) -> Path:
    """A folder that holds the installed wheel and nothing else of pairboard."""
    source, wheels, target = folder / "source", folder / "wheels", folder / "installed"
    source.mkdir()
    for name in copied():
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source)
    subprocess.run([*PIP, "wheel", "--no-deps", "--no-build-isolation", "-w", wheels, source], check=True)
    shutil.rmtree(source)
    (wheel,) = wheels.iterdir()
    subprocess.run([*PIP, "install", "--no-deps", "--target", target, wheel], check=True)
    return target


def test_it_finds_templates_and_migrations(tmp_path: Path) -> None:
    target = installed(tmp_path)
    line = SetUp(tmp_path, PYTHONPATH=str(target))

    def python(*args: str) -> str:
        command = [sys.executable, *args]
        return subprocess.run(command, env=line.env, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    for module in ("app", "worker", "ml"):
        assert python("-c", f"import {module}; print({module}.__file__)").startswith(str(target))
    assert "the database is at head" in python("-m", "app", "setup")
    assert "demo" in python(str(target / "bin" / "pairboard"), "presets")
    web = subprocess.Popen([sys.executable, "-m", "app", "web"], env=line.env, cwd=tmp_path)
    try:
        line.until(lambda: web.poll() is not None or line.answers(), "the web server to answer")
        page = line.http.get("/")
        assert page.status_code == 200
        (style,) = re.findall(r'<link[^>]+stylesheet[^>]+href="([^"]+)"', page.text)
        assert line.http.get(httpx2.URL(style)).status_code == 200
    finally:
        line.close()
        web.terminate()
        assert web.wait(30) == -signal.SIGTERM
