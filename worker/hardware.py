"""What this machine has and how busy it is. psutil asks the host, nvidia-smi the cards if it is there.

Called by the presence thread, every few seconds: nothing here may fail or take long.
"""

import csv
import logging
import platform
import shutil
import socket
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from ml.contract.hardware import Card, Hardware, WorkerMachine

log = logging.getLogger(__name__)
ASK_S = 5.0
_QUERY = "index,name,memory.total,memory.used,utilization.gpu,temperature.gpu,uuid"
_MIB = 1 << 20


def machine(folder: Path, visible: str | None) -> WorkerMachine:
    """This machine; `folder` is where the worker keeps its files, `visible` the cards that it may use
    (CUDA_VISIBLE_DEVICES), None for all."""
    return WorkerMachine(host=socket.gethostname()[:200], versions=_versions(), hardware=measure(folder, visible))


def measure(folder: Path, visible: str | None) -> Hardware:
    """How busy it is now. The first answer has no cpu_percent: that is of the time since the one before."""
    memory = psutil.virtual_memory()
    cards, problem = _cards(visible)
    percent = psutil.cpu_percent(interval=None)
    return Hardware(
        cpu_count=psutil.cpu_count() or 1,
        cpu_percent=percent or None,
        memory_bytes=memory.total,
        memory_used_bytes=memory.total - memory.available,
        disk_free_bytes=shutil.disk_usage(folder).free,
        cards=cards,
        cards_error=problem,
    )


@cache
def _versions() -> dict[str, str]:
    """Installed versions, read without loading anything."""
    found = {"python": platform.python_version()}
    for name in ("pairboard", "torch", "transformers"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found


def _cards(visible: str | None) -> tuple[tuple[Card, ...], str]:
    """The cards that nvidia-smi lists and we may use; and why there are none if it could not say."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return (), ""
    command = [program, f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=ASK_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return (), f"nvidia-smi does not answer ({type(error).__name__})"
    if answer.returncode:
        said = (answer.stderr or answer.stdout).strip().splitlines()
        return (), f"nvidia-smi ended with {answer.returncode}: {said[-1] if said else ''}"[:500]
    try:
        rows = [_card(line) for line in csv.reader(answer.stdout.splitlines(), skipinitialspace=True) if line]
    except (ValueError, IndexError) as error:
        return (), f"nvidia-smi's answer can't be read ({error})"[:500]
    return tuple(card for card, uuid in rows if _may_use(card, uuid, visible)), ""


def _card(line: list[str]) -> tuple[Card, str]:
    index, name, total, used, utilization, temperature, uuid = (part.strip() for part in line)
    used_mib = _number(used)
    card = Card(
        index=int(index),
        name=name[:200],
        memory_bytes=int(_number(total) or 0) * _MIB,
        memory_used_bytes=None if used_mib is None else int(used_mib) * _MIB,
        utilization=_number(utilization),
        temperature=_number(temperature),
    )
    return card, uuid


def _number(text: str) -> float | None:
    """A figure, or None for what the card does not tell ([N/A], [Not Supported])."""
    return None if text.startswith("[") else float(text)


def _may_use(card: Card, uuid: str, visible: str | None) -> bool:
    """As CUDA reads CUDA_VISIBLE_DEVICES: numbers, or the beginnings of UUIDs; empty or -1 hides all."""
    if visible is None:
        return True
    return any(
        part == str(card.index) or (part.startswith("GPU-") and uuid.startswith(part))
        for part in (item.strip() for item in visible.split(","))
    )
