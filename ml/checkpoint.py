"""What a run leaves on disk, and how a model comes back from it. Called by run and verify.

Beside the weights stand the exact config, the vocabulary and the hashes of the data. Weights are safetensors only:
a pickle would run code. Every file is written beside its place and renamed, so that a killed run leaves no half file.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification

from ml import tokens as token_files
from ml.contract.experiment import ExperimentConfig
from ml.contract.fingerprint import code_version
from ml.contract.job import Job
from ml.encoder import attention_for
from ml.errors import RunError
from ml.split import Split
from ml.tokens import Tokens, load_tokens

# of BertForMaskedLM, tied to the word embeddings and to cls.predictions.bias: transformers ties them again at loading
TIED = {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}
FILES = ("model.safetensors", "config.json", *token_files.FILES, "experiment.json", "data.json", "split.json")


def save(folder: Path, model: nn.Module, tokens: Tokens, job: Job, split: Split) -> list[str]:
    """Write FILES into `folder` and return their names."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items() if name not in TIED}
    write(folder / "model.safetensors", lambda path: save_file(state, path, metadata={"format": "pt"}))
    write_text(folder / "config.json", model.config.to_json_string())
    beside = folder / ".tokens"
    beside.mkdir(exist_ok=True)
    tokens.save(beside)
    for name in token_files.FILES:
        (beside / name).replace(folder / name)
    beside.rmdir()
    write_text(folder / "experiment.json", job.config.model_dump_json(indent=1))
    write_text(folder / "data.json", json.dumps(_data_facts(job, split), indent=1))
    write(folder / "split.json", split.save)
    return list(FILES)


def _data_facts(job: Job, split: Split) -> dict[str, Any]:
    return {
        "code_version": code_version(),
        "split_sha256": split.sha256,
        "files": [
            item.model_dump(mode="json", include={"role", "name", "sha256", "size", "rows"}) for item in job.inputs
        ],
    }


def write(path: Path, writer: Callable[[Path], object]) -> None:
    """Let `writer` write a file beside `path`, then rename it into place."""
    beside = path.with_name(f".{path.name}.part")
    writer(beside)
    beside.replace(path)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    write(path, lambda beside: beside.write_text(text, encoding="utf-8"))


def load(
    folder: Path, kind: type[BertForMaskedLM] | type[BertForSequenceClassification], device: torch.device
) -> tuple[nn.Module, Tokens]:
    """Model and tokenizer from `folder` alone. Raises RunError for weights that are broken or do not fit."""
    bert = BertConfig.from_pretrained(str(folder), local_files_only=True)
    bert._attn_implementation = attention_for(device)
    model = kind(bert)
    try:
        # copied into the model's own memory: tensors in the mapped file are aligned otherwise, which can change
        # the last bit of a product
        missing, unexpected = model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise RunError(f"{folder / 'model.safetensors'} does not load: {str(error).splitlines()[0]}") from error
    odd = sorted((set(missing) - TIED) | set(unexpected))
    if odd:
        raise RunError(f"{folder / 'model.safetensors'} does not fit its config.json: {', '.join(odd[:3])}")
    return model.to(device).eval(), load_tokens(folder)


def read_experiment(folder: Path) -> ExperimentConfig:
    """The exact config that the model in `folder` was trained with."""
    return ExperimentConfig.model_validate_json((folder / "experiment.json").read_bytes())


def read_valid_rows(folder: Path) -> list[int]:
    """Row numbers of the valid part, from split.json."""
    rows: list[int] = json.loads((folder / "split.json").read_text(encoding="utf-8"))["valid_row_numbers"]
    return rows


def read_split_sha256(folder: Path) -> str | None:
    """The split that the run in `folder` held out, or None if it does not say."""
    path = folder / "data.json"
    return json.loads(path.read_text(encoding="utf-8")).get("split_sha256") if path.is_file() else None
