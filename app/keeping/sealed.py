"""Sealed answers in a backup: a contest that is restored goes on being scored. Whoever reads a backup reads them; they
lie there in a folder of their own, as closed as in the data folder.
"""

import hashlib
import os
import re
from pathlib import Path

from app.keeping.manifest import Manifest
from app.sealed.answers import folder_of, state
from app.settings import Settings

FOLDER = "sealed"
_NAME = re.compile(r"[0-9a-f]{32}")


def copy_to(settings: Settings, making: Path) -> dict[str, str]:
    """Every file of answers, into the backup that is being made; their hashes by name."""
    found = {}
    source = folder_of(settings)
    for path in sorted(source.iterdir()) if source.is_dir() else []:
        if not _NAME.fullmatch(path.name):
            continue  # an upload under way
        content = path.read_bytes()
        _write(making / FOLDER, path.name, content)
        found[path.name] = hashlib.sha256(content).hexdigest()
    return found


def wrong_in(backup: Path, told: Manifest) -> list[str]:
    """What is missing or damaged."""
    if strange := [name for name in told.sealed if not _NAME.fullmatch(name)]:
        return [f"{name!r} is no name of sealed answers" for name in strange]
    states = {name: state(backup / FOLDER, name, sha256) for name, sha256 in told.sealed.items()}
    return [f"{backup / FOLDER / name} is {found}" for name, found in states.items() if found != "whole"]


def bring(settings: Settings, backup: Path, told: Manifest) -> None:
    """Put them where they were; names are drawn, so that none of another database's is in the way."""
    for name in told.sealed:
        _write(folder_of(settings), name, (backup / FOLDER / name).read_bytes())


def _write(folder: Path, name: str, content: bytes) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = folder / f"incoming-{name}"
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.rename(folder / name)
