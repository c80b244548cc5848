"""The two models of a run: BERT with a language-model head, BERT with a pair classifier. Built by run.

Both are transformers' own classes, so a saved run opens in plain transformers.
"""

from pathlib import Path
from typing import TypeVar

import torch
from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification

from ml.batches import round_up
from ml.contract.experiment import ExperimentConfig
from ml.encoder import attention_for, dropouts, scratch_config
from ml.errors import RunError
from ml.seeds import seed_everything
from ml.tokens import Tokens

PairModel = TypeVar("PairModel", BertForMaskedLM, BertForSequenceClassification)


def build_model(
    kind: type[PairModel], config: ExperimentConfig, tokens: Tokens, start: Path | None, device: torch.device
) -> PairModel:
    """A model of `kind` on `device`: with random weights, or with those in the folder `start`.

    What the folder lacks (a classifier, a pooler) gets random weights of the config's seed. Raises RunError for a
    folder that is not a BERT of Hugging Face's layout in safetensors, or too small for the vocabulary or the length.
    """
    seed_everything(config.seed)
    if start is None:
        model = kind(_finish(scratch_config(config, tokens), kind, device))
    else:
        bert = _finish(_read_config(start, config, tokens), kind, device)
        model = _load(kind, start, bert)
    return model.to(device)


def pad_of(tokens: Tokens) -> int:
    """The id that fills a batch up."""
    return tokens.special_ids[0]


def _finish(bert: BertConfig, kind: type[PairModel], device: torch.device) -> BertConfig:
    bert.architectures = [kind.__name__]
    bert._attn_implementation = attention_for(device)
    return bert


def _read_config(folder: Path, config: ExperimentConfig, tokens: Tokens) -> BertConfig:
    if not folder.is_dir():
        raise RunError(f"there is no folder of weights {str(folder)!r} on this machine: check encoder.weights")
    if not (folder / "config.json").is_file():
        raise RunError(f"{folder} has no config.json: encoder.weights must be a folder in Hugging Face layout")
    if not any(folder.glob("model*.safetensors")):
        raise RunError(f"{folder} has no model.safetensors: convert the weights (pickled .bin files are never opened)")
    stored, _ = BertConfig.get_config_dict(str(folder), local_files_only=True)
    if stored.get("model_type") != "bert":
        raise RunError(f"{folder} holds a model of type {stored.get('model_type')!r}: pairboard starts from bert")
    bert = BertConfig.from_dict({**stored, **dropouts(config), "num_labels": 2})
    if round_up(config.data.max_length) > bert.max_position_embeddings:
        raise RunError(
            f"max_length {config.data.max_length} is more than the {bert.max_position_embeddings} positions of the "
            f"weights in {folder}: lower max_length"
        )
    if tokens.vocab_size > bert.vocab_size:
        raise RunError(
            f"the vocabulary has {tokens.vocab_size} tokens and the weights in {folder} only {bert.vocab_size} rows: "
            "they do not belong together"
        )
    return bert


def _load(kind: type[PairModel], folder: Path, bert: BertConfig) -> PairModel:
    try:
        model = kind.from_pretrained(
            str(folder), config=bert, local_files_only=True, use_safetensors=True, dtype=torch.float32
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise RunError(
            f"the weights in {folder} do not load ({str(error).splitlines()[0]}): check the folder"
        ) from error
    with torch.no_grad():
        for parameter in model.parameters():  # out of the mapped file: its alignment could change the last bit
            parameter.data = parameter.data.clone()
    model.tie_weights()
    return model
