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
from torch import Tensor, nn
from transformers import PreTrainedModel

from ml import tokens as token_files
from ml.averaging import Weights
from ml.contract.experiment import ExperimentConfig
from ml.contract.fingerprint import code_version
from ml.contract.job import Job
from ml.encoder import ARCHITECTURES, attention_for, type_of
from ml.errors import RunError
from ml.heads import Head
from ml.pair_model import ElectraPair, PairClassifier, foreign_names
from ml.split import Split
from ml.tokens import Tokens, load_tokens

FILES = ("model.safetensors", "config.json", *token_files.FILES, "experiment.json", "data.json", "split.json")


def save_language_model(
    folder: Path, model: PreTrainedModel | ElectraPair, tokens: Tokens, job: Job, split: Split
) -> list[str]:
    """Write what a pretrain leaves behind (of ELECTRA the discriminator) into `folder`; returns the names."""
    kept = model.discriminator if isinstance(model, ElectraPair) else model
    _write_weights(folder, "model.safetensors", kept.state_dict())
    _write_config(folder, kept.config, [type(kept).__name__])
    return _save_rest(folder, tokens, job, split, list(FILES))


def save_classifier(
    folder: Path, model: PairClassifier, weights: list[Weights], tokens: Tokens, job: Job, split: Split
) -> list[str]:
    """Write a classifier into `folder`; returns the names. Weights beyond the first, whose predictions are averaged,
    lie in model-2.safetensors and so on; other programs open the first."""
    architecture = ARCHITECTURES[type_of(model.config)]
    rename = foreign_names(model)
    extra = [f"model-{number}.safetensors" for number in range(2, len(weights) + 1)]
    for name, state in zip(["model.safetensors", *extra], weights, strict=True):
        _write_weights(folder, name, {rename(key): tensor for key, tensor in state.items()})
    opens = model.head.name == "cls" and type_of(model.config) != "nezha"
    _write_config(folder, model.config, [architecture.classifier_class if opens else type(model.encoder).__name__])
    return _save_rest(folder, tokens, job, split, [*FILES, *extra])


def _write_weights(folder: Path, name: str, state: dict[str, Tensor]) -> None:
    """Tied tensors are written once, under their first name: transformers ties them again at loading."""
    folder.mkdir(parents=True, exist_ok=True)
    kept: dict[str, Tensor] = {}
    seen: set[tuple[int, torch.Size]] = set()
    for key, tensor in state.items():
        place = (tensor.data_ptr(), tensor.shape)
        if place not in seen:
            seen.add(place)
            kept[key] = tensor.detach().cpu().contiguous()
    write(folder / name, lambda path: save_file(kept, path, metadata={"format": "pt"}))


def _write_config(folder: Path, config: Any, architectures: list[str]) -> None:
    content = json.loads(config.to_json_string(use_diff=False))
    # a nezha opened as a plain BERT would predict something else without a word: its type says what it is
    content |= {"model_type": type_of(config), "architectures": architectures}
    content.pop("_attn_implementation", None)
    write_text(folder / "config.json", json.dumps(content, indent=2, sort_keys=True))


def _save_rest(folder: Path, tokens: Tokens, job: Job, split: Split, names: list[str]) -> list[str]:
    beside = folder / ".tokens"
    beside.mkdir(exist_ok=True)
    tokens.save(beside)
    for name in token_files.FILES:
        (beside / name).replace(folder / name)
    beside.rmdir()
    write_text(folder / "experiment.json", job.config.model_dump_json(indent=1))
    write_text(folder / "data.json", json.dumps(_data_facts(job, split), indent=1))
    write(folder / "split.json", split.save)
    return names


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


def load_classifier(folder: Path, device: torch.device) -> tuple[PairClassifier, list[Weights], Tokens]:
    """Model, every set of its weights, and tokenizer from `folder` alone; the first set is loaded.

    Raises RunError for weights that are broken or do not fit.
    """
    asked = read_experiment(folder)
    architecture = ARCHITECTURES[asked.encoder.model_type]
    plan = architecture.config.from_dict(
        {**json.loads((folder / "config.json").read_text("utf-8")), "model_type": architecture.config.model_type}
    )
    plan._attn_implementation = attention_for(device, asked.encoder.model_type)
    encoder = architecture.encoder(plan, **({"add_pooling_layer": False} if architecture.pooling else {}))
    model = PairClassifier(encoder, Head(asked.finetune, plan.hidden_size, asked.data.max_length, architecture))
    rename = foreign_names(model)
    theirs = {rename(name): name for name in model.state_dict()}
    weights = []
    for path in [folder / "model.safetensors", *sorted(folder.glob("model-*.safetensors"), key=_number)]:
        weights.append(_read_weights(path, theirs, model))
    return model.to(device).eval(), weights, load_tokens(folder)


def _number(path: Path) -> int:
    return int(path.stem.removeprefix("model-"))


def _read_weights(path: Path, theirs: dict[str, str], model: nn.Module) -> Weights:
    """Copied into the model's own memory and back: tensors in the mapped file are aligned otherwise, which can change
    the last bit of a product."""
    try:
        found = load_file(path)
        odd = sorted(set(theirs) ^ set(found))
        if odd:
            raise RunError(f"{path} does not fit its config.json: {', '.join(odd[:3])}")
        model.load_state_dict({theirs[name]: tensor for name, tensor in found.items()})
    except (OSError, SafetensorError, RuntimeError) as error:
        raise RunError(f"{path} does not load: {str(error).splitlines()[0]}") from error
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


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
