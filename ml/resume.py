"""A training's whole state on disk, so that a run that was stopped goes on with the same numbers. Called by loop.

One safetensors file for tensors and one line of JSON in its metadata for the rest: they can't be of different moments.
It is written beside its place, synced and renamed; a torn or changed file is refused and the training starts anew.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

NAME = "resume.safetensors"


@dataclass(frozen=True, slots=True)
class State:
    """Tensors by name, and plain facts."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names begin with `prefix` and a slash, without it."""
        start = f"{prefix}/"
        return {name.removeprefix(start): value for name, value in self.tensors.items() if name.startswith(start)}


def save(folder: Path, state: State) -> None:
    """Write the state into `folder`, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    path, beside = folder / NAME, folder / f".{NAME}.part"
    # copies: tensors that share memory (tied embeddings) can't stand in one file
    tensors = {name: value.detach().cpu().clone().contiguous() for name, value in state.tensors.items()}
    save_file(tensors, beside, metadata={"facts": json.dumps(state.facts)})
    with beside.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    beside.replace(path)
    (folder / f"{NAME}.sha256").write_text(digest, encoding="ascii")


def load(folder: Path, job_key: str) -> State | None:
    """The state in `folder`; None when there is none, when it is torn, or when it is of another job."""
    path, digest = folder / NAME, folder / f"{NAME}.sha256"
    if not path.is_file() or not digest.is_file():
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
    """Remove the state from the disk."""
    for name in (NAME, f"{NAME}.sha256", f".{NAME}.part"):
        (folder / name).unlink(missing_ok=True)


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
