"""Tells 'already run': a hash of what was asked, what it was asked of, and the code that does it."""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from ml.contract.experiment import ExperimentConfig


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value` (sorted keys, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def code_version() -> str:
    """Hash of ml's own source files: a changed recipe never passes for the old one. 16 hex digits."""
    root = Path(__file__).resolve().parent.parent
    sources = sorted(path for path in root.rglob("*.py"))
    return digest(
        [[path.relative_to(root).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()] for path in sources]
    )[:16]


def experiment_fingerprint(config: ExperimentConfig, files: dict[str, str]) -> str:
    """Of a whole experiment; `files` maps a role (train, test) to the sha256 of its file."""
    return digest({"config": config.model_dump(mode="json"), "files": files, "code": code_version()})


def pretrain_fingerprint(config: ExperimentConfig, train_sha256: str) -> str:
    """Of the pretrain alone: what finetuning changes is left out, so that experiments can share it."""
    if config.pretrain is None:
        raise ValueError("this config has no pretraining, so there is nothing to share")
    asked = config.model_dump(mode="json", exclude={"finetune"})
    return digest({"pretrain": asked, "train": train_sha256, "code": code_version()})
