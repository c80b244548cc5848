"""A training's whole state on disk, so that a run that was stopped goes on with the same numbers. Called by loop.

One safetensors file for tensors and one line of JSON in its metadata for the rest: they can't be of different moments.
It is written beside its place, synced and renamed; a torn or changed file is refused, and the one before it is used.
The worker sends each to the app, so that the run can go on elsewhere.
"""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ml.contract.events import CHECKPOINT

KEPT = 2  # files: the newest, and the one before it


@dataclass(frozen=True, slots=True)
class Saves:
    """Where a training's checkpoints go, what they must be of, and how many seconds pass between two; 0: each step."""

    folder: Path
    key: str
    seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class State:
    """Tensors by name, and plain facts."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names begin with `prefix` and a slash, without it."""
        start = f"{prefix}/"
        return {name.removeprefix(start): value for name, value in self.tensors.items() if name.startswith(start)}


def save(folder: Path, state: State) -> tuple[Path, str]:
    """Write the state into `folder`, whole or not at all, and forget those before the last; the path and its sha256."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{CHECKPOINT}{state.facts['step']}.safetensors"
    beside = folder / f".{path.name}.part"
    # copies: tensors that share memory (tied embeddings) can't stand in one file
    tensors = {name: value.detach().cpu().clone().contiguous() for name, value in state.tensors.items()}
    save_file(tensors, beside, metadata={"facts": json.dumps(state.facts)})
    with beside.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    beside.replace(path)
    _digest_of(path).write_text(digest, encoding="ascii")
    for old in _newest_first(folder)[KEPT:]:
        _remove(old)
    return path, digest


def take(folder: Path, path: Path, sha256: str) -> None:
    """Lay a file that an earlier attempt saved into `folder`, for load(). One that could not be fetched is no loss: the
    training goes on from the one before, or begins."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / path.name
    if path.is_file() and not target.exists():
        shutil.copyfile(path, target)
        _digest_of(target).write_text(sha256, encoding="ascii")


def load(folder: Path, job_key: str) -> State | None:
    """The newest state in `folder` that is whole and of this job, or None."""
    found = (_read(path, job_key) for path in _newest_first(folder))
    return next((state for state in found if state is not None), None)


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{CHECKPOINT}*.safetensors"), key=_step_of, reverse=True)


def _step_of(path: Path) -> int:
    return int(path.stem.removeprefix(CHECKPOINT))


def _digest_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _remove(path: Path) -> None:
    path.unlink()
    _digest_of(path).unlink(missing_ok=True)


def _read(path: Path, job_key: str) -> State | None:
    digest = _digest_of(path)
    if not digest.is_file():
        return None
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != digest.read_text(encoding="ascii").strip():
            return None
    try:
        with safe_open(path, framework="pt") as opened:
            facts: dict[str, Any] = json.loads(opened.metadata()["facts"])
            tensors = {name: opened.get_tensor(name).clone() for name in opened.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, ValueError, KeyError):
        return None
    return State(tensors, facts) if facts.get("job") == job_key else None


def forget(folder: Path) -> None:
    """Remove the states from the disk."""
    for path in _newest_first(folder):
        _remove(path)
    for torn in folder.glob(f".{CHECKPOINT}*.part"):
        torn.unlink()


def random_states(generators: dict[str, torch.Generator], device: torch.device) -> dict[str, Tensor]:
    """States of torch's global generators (dropout) and of the named ones."""
    states = {f"random/{name}": generator.get_state() for name, generator in generators.items()}
    states["random/cpu"] = torch.get_rng_state()
    if device.type == "cuda":
        states["random/cuda"] = torch.cuda.get_rng_state(device)
    return states


def restore_random(state: State, generators: dict[str, torch.Generator], device: torch.device) -> None:
    """Put back what random_states gave."""
    saved = state.part("random")
    for name, generator in generators.items():
        generator.set_state(saved[name])
    torch.set_rng_state(saved["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(saved["cuda"], device)
