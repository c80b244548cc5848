"""Tells 'already run': a hash of what was asked, what it was asked of, and the code that does it."""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from ml.contract.applies import applied
from ml.contract.experiment import ExperimentConfig
from ml.contract.words import text


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value` (sorted keys, no spaces)."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


@cache
def code_version() -> str:
    """Hash of ml's own source files: a changed recipe never passes for the old one. 16 hex digits."""
    root = Path(__file__).resolve().parent.parent
    sources = sorted(path for path in root.rglob("*.py"))
    return digest(
        [[path.relative_to(root).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()] for path in sources]
    )[:16]


def experiment_fingerprint(config: ExperimentConfig, files: dict[str, str]) -> str:
    """Of a whole experiment; `files` maps a role (train, test) to the sha256 of its file. Fields that nothing reads do
    not count."""
    return digest({"config": applied(config).model_dump(mode="json"), "files": files, "code": code_version()})


def pretrain_fingerprint(config: ExperimentConfig, files: dict[str, str]) -> str:
    """Of the pretrain alone: what it does not read is left out, so that experiments can share it.

    `files` maps train, test and unlabelled to their sha256; the last two count when the pretrain reads them.
    """
    if config.pretrain is None:
        raise ValueError(text("this config has no pretraining, so there is nothing to share"))
    asked = applied(config).model_dump(mode="json", exclude={"finetune", "fusion"})
    del asked["data"]["repeats"]
    if config.data.folds:  # the folds share it: it reads every row's texts, however they are cut
        asked["data"] = {"max_length": config.data.max_length, "folds": "all rows"}
    if not (config.pretrain.augmented or config.augment.augment_before_split):
        del asked["augment"]
    read = {"train"} | pretrain_reads(config)
    kept = {role: sha256 for role, sha256 in files.items() if role in read}
    return digest({"pretrain": asked, "files": kept, "code": code_version()})


def pretrain_reads(config: ExperimentConfig) -> set[str]:
    """Which files beside train a pretrain reads: test, unlabelled."""
    if config.pretrain is None:
        return set()
    wanted = {"unlabelled": config.pretrain.unlabelled, "test": config.pretrain.test_texts}
    return {role for role, on in wanted.items() if on}
