"""A pretrain's tokenised rows on disk, mapped into memory: made once, opened in seconds by every later pretrain of the
same data, whatever its encoder, seed or learning rate. Called by prepare.

A folder per key: arrays as .npy (the kernel reads what a batch touches and drops it when memory is short), the
vocabulary, the reports, and what was told while it was made. It is filled beside its place and renamed.
"""

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ml.contract.events import EVENT, Event
from ml.contract.experiment import DataConfig
from ml.contract.fingerprint import code_version, digest
from ml.contract.job import Job
from ml.contract.leaks import Groups
from ml.contract.training_config import Phase
from ml.encoded import EncodedPairs
from ml.errors import RunError
from ml.pretrain import Corpus
from ml.split import Split
from ml.tokens import Tokens, load_tokens

_FACTS = "facts.json"
#: files of a folder of public weights that decide how texts are divided, or what is said about them
_OF_WEIGHTS = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "tokens.json", "data.json")


@dataclass(frozen=True, slots=True)
class Ready:
    """All that a pretrain needs of its data. `reports`: name and text of files for the page; `told`: its events."""

    corpus: Corpus
    tokens: Tokens
    split: Split
    reports: dict[str, str]
    told: list[Event]


def key_of(job: Job) -> str:
    """Hash of all that the rows depend on: the files, the fields that choose and divide texts, and this code.

    What only governs the training (every field of Phase) is not among it.
    """
    config = job.config
    asked = config.model_dump(mode="json", exclude={"finetune", "fusion", "seed", "augment"})
    asked["encoder"] = {name: asked["encoder"][name] for name in ("model_type", "weights", "embeddings")}
    del asked["data"]["repeats"]
    if config.pretrain is not None:
        asked["pretrain"] = {name: value for name, value in asked["pretrain"].items() if name not in Phase.model_fields}
    if uses_augmented(job):
        asked |= {"augment": config.augment.model_dump(mode="json"), "seed": config.seed}
    files = [item.model_dump(mode="json", include={"role", "sha256", "layout"}) for item in job.inputs if item.layout]
    weights = Path(config.encoder.weights) if config.encoder.weights else None
    beside = {name: _sha256(weights / name) for name in _OF_WEIGHTS if weights and (weights / name).is_file()}
    return digest({"asked": asked, "files": files, "fold": job.fold, "weights": beside, "code": code_version()})


def uses_augmented(job: Job) -> bool:
    """Whether a pretrain reads rows that augmentation made."""
    phase, augment = job.config.pretrain, job.config.augment
    return augment.augment_before_split or bool(phase and phase.augmented)


def keep(folder: Path, key: str, ready: Ready) -> None:
    """Write `ready` into `folder`/`key`, whole or not at all. Raises OSError (a full disk) with nothing left behind."""
    folder.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=".new-", dir=folder))
    try:
        corpus, split = ready.corpus, ready.split
        arrays = {
            "ids": corpus.encoded.flat_T,
            "offsets": corpus.encoded.offsets,
            "second": corpus.encoded.second_N,
            "is_pair": corpus.is_pair_N,
            "train_rows": split.train_rows,
            "valid_rows": split.valid_rows,
            "component": split.component_N,
        }
        if corpus.encoded.begins_T is not None:
            arrays["begins"] = corpus.encoded.begins_T
        for name, array in arrays.items():
            np.save(beside / f"{name}.npy", array, allow_pickle=False)
        ready.tokens.save(beside)
        facts = {
            "turns": corpus.turns,
            "split": split.data.model_dump(mode="json"),
            "groups": split.groups.model_dump(mode="json") if split.groups else None,
            "arrays": sorted(arrays),
            "reports": ready.reports,
            "told": [event.model_dump(mode="json") for event in ready.told],
        }
        (beside / _FACTS).write_text(json.dumps(facts, ensure_ascii=False), encoding="utf-8")
        for path in beside.iterdir():  # the name must not reach the disk before the content
            with path.open("rb") as file:
                os.fsync(file.fileno())
        try:
            beside.rename(folder / key)
        except OSError:
            if not (folder / key / _FACTS).is_file():  # or another run was as quick
                raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def load(folder: Path, key: str, job: Job) -> Ready | None:
    """What keep() wrote, mapped; None when there is nothing. A damaged folder is removed, and counts as nothing."""
    place = folder / key
    if not place.is_dir():
        return None
    try:
        facts: dict[str, Any] = json.loads((place / _FACTS).read_text(encoding="utf-8"))
        arrays = {name: _mapped(place / f"{name}.npy") for name in facts["arrays"]}
        encoded = EncodedPairs(arrays["ids"], arrays["offsets"], arrays["second"], arrays.get("begins"))
        if int(encoded.offsets[-1]) != len(encoded.flat_T) or len(encoded.offsets) != len(encoded) + 1:
            raise ValueError("its arrays do not fit each other")
        data = DataConfig.model_validate(facts["split"])
        groups = Groups.model_validate(facts["groups"]) if facts["groups"] else None
        split = Split(arrays["train_rows"], arrays["valid_rows"], arrays["component"], data, job.fold, groups)
        ready = Ready(
            Corpus(encoded, arrays["is_pair"], turns=facts["turns"]),
            load_tokens(place, job.config.data.max_length),
            split,
            facts["reports"],
            [EVENT.validate_python(event) for event in facts["told"]],
        )
        os.utime(place)  # who makes room removes what was not used for longest
    except (OSError, ValueError, KeyError, RunError):
        shutil.rmtree(place, ignore_errors=True)
        return None
    return ready


def _mapped(path: Path) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return np.asarray(array)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
