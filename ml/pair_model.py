"""The models of a run: an encoder with a language-model head, and an encoder with a pair classifier. Built by run.

Encoders are transformers' own classes, so a saved run opens in plain transformers.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn
from transformers import ElectraForMaskedLM, ElectraForPreTraining, PreTrainedModel

from ml.aligned_embeddings import align_embeddings
from ml.batches import Batch, round_up
from ml.contract.experiment import ExperimentConfig
from ml.encoder import (
    ARCHITECTURES,
    attention_for,
    dropouts,
    scratch_config,
    type_of,
    without_absolute_positions,
)
from ml.errors import RunError
from ml.heads import Head
from ml.seeds import seed_everything
from ml.tokens import Tokens


class PairClassifier(nn.Module):
    """An encoder and a head: from a batch of pairs to logits_KBC (see Head)."""

    def __init__(self, encoder: PreTrainedModel, head: Head) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    @property
    def config(self) -> Any:
        """The encoder's transformers config."""
        return self.encoder.config

    def get_input_embeddings(self) -> nn.Module:
        """The word embeddings."""
        return self.encoder.get_input_embeddings()

    def forward(self, batch: Batch) -> Tensor:
        """logits_KBC of a batch on the model's device."""
        logits: Tensor = self.head(self.encoder, batch)
        return logits


class ElectraPair(nn.Module):
    """ELECTRA in pretraining (Clark et al. 2020): a small generator, and the discriminator that is kept.

    They share token, position and segment embeddings.
    """

    def __init__(self, generator: ElectraForMaskedLM, discriminator: ElectraForPreTraining) -> None:
        super().__init__()
        generator.electra.embeddings = discriminator.electra.embeddings
        generator.generator_lm_head.weight = discriminator.electra.embeddings.word_embeddings.weight
        self.generator = generator
        self.discriminator = discriminator

    @property
    def config(self) -> Any:
        """The discriminator's transformers config."""
        return self.discriminator.config

    def get_input_embeddings(self) -> nn.Module:
        """The word embeddings that both share."""
        return self.discriminator.get_input_embeddings()


def build_classifier(
    config: ExperimentConfig, tokens: Tokens, start: Path | None, device: torch.device, seed: int
) -> tuple[PairClassifier, PreTrainedModel | None]:
    """The classifier, with random weights or those in the folder `start`; and, when finetuning has an auxiliary MLM
    loss, the language model around the same encoder.

    What the folder lacks (a head) gets random weights of `seed`. Raises RunError as build_language_model does.
    """
    seed_everything(seed)
    architecture = ARCHITECTURES[config.encoder.model_type]
    language_model = None
    if config.finetune.mlm_weight:
        language_model = _model(architecture.masked_lm, config, tokens, start, device)
        encoder = language_model.base_model
    else:
        extra = {"add_pooling_layer": False} if architecture.pooling else {}
        encoder = _model(architecture.encoder, config, tokens, start, device, **extra)
    head = Head(config.finetune, encoder.config.hidden_size, config.data.max_length, architecture)
    if config.finetune.head == "last4_cls" and encoder.config.num_hidden_layers < 4:
        raise RunError(
            f"finetune.head last4_cls reads the last four layers and the weights in {start} have "
            f"{encoder.config.num_hidden_layers}: take another head"
        )
    model = PairClassifier(encoder, head)
    if start is not None:
        _load_head(model, start)
    return model.to(device), language_model


def foreign_names(model: PairClassifier) -> Callable[[str], str]:
    """Our names to those of transformers' classes: the encoder under its prefix, a cls head where theirs has it."""
    places = {"encoder": model.encoder.base_model_prefix}
    if model.head.name == "cls":
        dense, out = ARCHITECTURES[type_of(model.config)].cls_names
        places |= {"head.dense": dense, "head.out": out}

    def rename(name: str) -> str:
        for ours, theirs in places.items():
            if name.startswith(f"{ours}."):
                return theirs + name[len(ours) :]
        return name

    return rename


def _load_head(model: PairClassifier, folder: Path) -> None:
    """Take over what the folder has of the head (public weights: BERT's pooler; a finished run: all of it)."""
    path = folder / "model.safetensors"
    if not path.is_file():  # weights in several files: public ones, which have no head of ours
        return
    rename = foreign_names(model)
    with safe_open(path, framework="pt") as opened, torch.no_grad():
        there = set(opened.keys())
        for name, parameter in model.head.named_parameters():
            theirs = rename(f"head.{name}")
            if theirs in there and opened.get_slice(theirs).get_shape() == list(parameter.shape):
                parameter.copy_(opened.get_tensor(theirs))


def build_language_model(
    config: ExperimentConfig, tokens: Tokens, start: Path | None, device: torch.device, seed: int
) -> PreTrainedModel | ElectraPair:
    """What a pretrain trains: an encoder with a language-model head, or ELECTRA's two.

    Raises RunError for a folder that is not the encoder asked for in Hugging Face layout and safetensors, or too
    small for the vocabulary or the length.
    """
    seed_everything(seed)
    kind = config.encoder.model_type
    if kind == "electra":
        generator = _generator(config, tokens, device)
        discriminator = _model(ElectraForPreTraining, config, tokens, start, device)
        return ElectraPair(generator, discriminator).to(device)
    return _model(ARCHITECTURES[kind].masked_lm, config, tokens, start, device)


def pad_of(tokens: Tokens) -> int:
    """The id that fills a batch up."""
    return tokens.special_ids[0]


def _model(
    kind: type[PreTrainedModel],
    config: ExperimentConfig,
    tokens: Tokens,
    start: Path | None,
    device: torch.device,
    **extra: Any,
) -> PreTrainedModel:
    if start is None:
        plan = scratch_config(config, tokens)
        plan._attn_implementation = attention_for(device, config.encoder.model_type)
        model = kind(plan, **extra)
    else:
        plan = _read_config(start, config, tokens)
        plan._attn_implementation = attention_for(device, config.encoder.model_type)
        model = _load(kind, start, plan, **extra)
        if _aligns(start, config):
            align_embeddings(model, start, tokens)
        elif tokens.vocab_size > model.config.vocab_size:  # placeholders of unknown tokens
            model.resize_token_embeddings(tokens.vocab_size, mean_resizing=False)
    model.config.architectures = [kind.__name__]
    if config.encoder.model_type == "nezha":
        without_absolute_positions(model.base_model)
    return model.to(device)


def _aligns(start: Path, config: ExperimentConfig) -> bool:
    """Only public weights are aligned: a pretrain of ours has the rows of its own vocabulary already."""
    return config.encoder.embeddings == "frequency" and start == Path(config.encoder.weights)


def _generator(config: ExperimentConfig, tokens: Tokens, device: torch.device) -> ElectraForMaskedLM:
    """ELECTRA's generator: heads of the same width, fewer of them."""
    if config.pretrain is None:
        raise RunError("an electra is pretrained with a generator, and the config has no pretrain: set pretrain")
    plan = scratch_config(config, tokens)
    size = config.encoder.sizes
    heads = max(1, round(size.num_attention_heads * config.pretrain.generator_fraction))
    plan.hidden_size = heads * (size.hidden_size // size.num_attention_heads)
    plan.num_attention_heads = heads
    plan.intermediate_size = max(16, round(size.intermediate_size * config.pretrain.generator_fraction))
    plan._attn_implementation = attention_for(device, "electra")
    return ElectraForMaskedLM(plan)


def _read_config(folder: Path, config: ExperimentConfig, tokens: Tokens) -> Any:
    if not folder.is_dir():
        raise RunError(f"there is no folder of weights {str(folder)!r} on this machine: check encoder.weights")
    if not (folder / "config.json").is_file():
        raise RunError(f"{folder} has no config.json: encoder.weights must be a folder in Hugging Face layout")
    if not any(folder.glob("model*.safetensors")):
        raise RunError(f"{folder} has no model.safetensors: convert the weights (pickled .bin files are never opened)")
    asked = config.encoder.model_type
    kind = ARCHITECTURES[asked].config
    stored, _ = kind.get_config_dict(str(folder), local_files_only=True)
    if stored.get("model_type") != asked:
        raise RunError(
            f"{folder} holds a model of type {stored.get('model_type')!r}, and encoder.model_type asks for {asked!r}: "
            f"set model_type to what the weights are ({', '.join(ARCHITECTURES)})"
        )
    plan = kind.from_dict({**stored, "model_type": kind.model_type, **dropouts(config), "num_labels": 2})
    plan.pairboard_model_type = asked
    positions = plan.max_position_embeddings - (plan.pad_token_id + 1 if asked == "roberta" else 0)
    if round_up(config.data.max_length) > positions:
        raise RunError(
            f"max_length {config.data.max_length} is more than the {positions} positions of the "
            f"weights in {folder}: lower max_length"
        )
    if tokens.vocab_size > plan.vocab_size + len(tokens.unknown_ids) and not _aligns(folder, config):
        raise RunError(
            f"the vocabulary has {tokens.vocab_size} tokens and the weights in {folder} only {plan.vocab_size} rows: "
            "they do not belong together"
        )
    return plan


def _load(kind: type[PreTrainedModel], folder: Path, plan: Any, **extra: Any) -> PreTrainedModel:
    try:
        model = kind.from_pretrained(
            str(folder), config=plan, local_files_only=True, use_safetensors=True, dtype=torch.float32, **extra
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
