"""The encoders as we call them: transformers' own classes, their sizes from a config, and the pass of a batch.

Letters of tensors, here and elsewhere: N rows, B rows of a batch, L tokens of a row, T tokens laid flat, D width,
V vocabulary, M tokens to guess, C components or classes, S sentences, G groups, K dropout masks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AlbertConfig,
    AlbertForPreTraining,
    AlbertModel,
    BertConfig,
    BertForMaskedLM,
    BertModel,
    ElectraConfig,
    ElectraForMaskedLM,
    ElectraForPreTraining,
    ElectraModel,
    PreTrainedModel,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaModel,
)

from ml.batches import Batch, round_up
from ml.contract.encoder_config import ModelType
from ml.contract.experiment import ExperimentConfig
from ml.lean import lean_states
from ml.lean_scoring import ScoringPass, scoring_layers, scoring_states
from ml.relative_attention import RELATIVE
from ml.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Architecture:
    """One kind of encoder. `lm_head`: from states_MD to logits_MV. `cls_names`: where transformers keeps the two
    layers of its sequence classifier, so that a cls head opens there too."""

    config: type[Any]
    encoder: type[PreTrainedModel]
    masked_lm: type[PreTrainedModel]
    pretrained: type[PreTrainedModel]  # what a pretrain leaves behind
    lm_head: Callable[[Any, Tensor], Tensor]
    cls_names: tuple[str, str]
    classifier_class: str
    activation: Callable[[], nn.Module]
    pooling: bool  # whether the encoder's constructor knows add_pooling_layer


_BERT = Architecture(
    BertConfig,
    BertModel,
    BertForMaskedLM,
    BertForMaskedLM,
    lambda model, states: model.cls(states),
    ("bert.pooler.dense", "classifier"),
    "BertForSequenceClassification",
    nn.Tanh,
    pooling=True,
)
ARCHITECTURES: dict[ModelType, Architecture] = {
    "bert": _BERT,
    # a BERT whose attention adds relative positions; transformers no longer has a class of its own for it
    "nezha": _BERT,
    "roberta": Architecture(
        RobertaConfig,
        RobertaModel,
        RobertaForMaskedLM,
        RobertaForMaskedLM,
        lambda model, states: model.lm_head(states),
        ("classifier.dense", "classifier.out_proj"),
        "RobertaForSequenceClassification",
        nn.Tanh,
        pooling=True,
    ),
    "electra": Architecture(
        ElectraConfig,
        ElectraModel,
        ElectraForMaskedLM,
        ElectraForPreTraining,
        lambda model, states: model.generator_lm_head(model.generator_predictions(states)),
        ("classifier.dense", "classifier.out_proj"),
        "ElectraForSequenceClassification",
        nn.GELU,
        pooling=False,
    ),
    "albert": Architecture(
        AlbertConfig,
        AlbertModel,
        AlbertForPreTraining,
        AlbertForPreTraining,
        lambda model, states: model.predictions(states),
        ("albert.pooler", "classifier"),
        "AlbertForSequenceClassification",
        nn.Tanh,
        pooling=True,
    ),
}


def attention_for(device: torch.device, model_type: str) -> str:
    """Which of transformers' attentions to take; training, scoring and verification take the same.

    On a GPU sdpa's fused kernels. On the CPU at batch 64 x 20 tokens both take the same time within the noise
    (2 x 128: 57 and 58 ms a step), and eager has one code path with and without dropout.
    """
    if model_type == "nezha":
        return RELATIVE
    return "sdpa" if device.type == "cuda" else "eager"


def scratch_config(config: ExperimentConfig, tokens: Tokens) -> Any:
    """Sizes of an encoder from scratch for this vocabulary; only as many positions as rows can have."""
    kind, size = config.encoder.model_type, config.encoder.sizes
    pad = tokens.special_ids[0]
    own: dict[str, Any] = {}
    if kind in {"albert", "electra"}:
        own["embedding_size"] = config.encoder.embedding_size
    if kind == "albert":
        own |= {"num_hidden_groups": 1, "inner_group_num": 1, "position_embedding_type": "absolute"}
    if kind == "roberta":
        own["type_vocab_size"] = 1
    made = ARCHITECTURES[kind].config(
        vocab_size=tokens.vocab_size,
        hidden_size=size.hidden_size,
        num_hidden_layers=size.num_hidden_layers,
        num_attention_heads=size.num_attention_heads,
        intermediate_size=size.intermediate_size,
        # RoBERTa counts positions from the padding id + 1
        max_position_embeddings=round_up(config.data.max_length) + (pad + 1 if kind == "roberta" else 0),
        pad_token_id=pad,
        **own,
        **dropouts(config),
    )
    made.pairboard_model_type = kind
    return made


def dropouts(config: ExperimentConfig) -> dict[str, float]:
    """Dropouts as the experiment asks for them, whatever weights it starts from."""
    name = "classifier_dropout_prob" if config.encoder.model_type == "albert" else "classifier_dropout"
    return {
        "hidden_dropout_prob": config.encoder.hidden_dropout_prob,
        "attention_probs_dropout_prob": config.encoder.hidden_dropout_prob,
        name: config.finetune.classifier_dropout,
    }


def without_absolute_positions(encoder: PreTrainedModel) -> None:
    """NEZHA has relative positions only: the absolute ones are zeros that never learn."""
    positions = encoder.embeddings.position_embeddings.weight
    positions.requires_grad_(False)
    with torch.no_grad():
        positions.zero_()


def inputs(batch: Batch, model_type: str) -> dict[str, Tensor]:
    """Arguments of an encoder's forward.

    The mask is the additive float one that attention needs in the end (0 or the lowest number): handed a mask of
    0 and 1, transformers asks the device whether it is all ones, which on a GPU waits for the queue at every step.
    """
    lowest = torch.finfo(torch.float32).min
    mask_B11L = torch.zeros(batch.real_BL.shape, device=batch.real_BL.device).masked_fill(~batch.real_BL, lowest)
    given = {"input_ids": batch.ids_BL, "attention_mask": mask_B11L[:, None, None, :]}
    if model_type != "roberta":
        given["token_type_ids"] = batch.types_BL
    return given


def hidden_states(encoder: PreTrainedModel, batch: Batch, places_P: Tensor | None = None) -> Tensor:
    """The last layer's states, hidden_BLD; of `places_P` of the batch laid out flat, hidden_PD."""
    if encoder.training and getattr(encoder, "lean_pass", None):
        return lean_states(encoder, batch, places_P)
    if _scores_lean(encoder):
        return scoring_states(encoder, batch, places_P)
    hidden_BLD: Tensor = _pass(encoder, batch).last_hidden_state.float()
    return hidden_BLD if places_P is None else hidden_BLD.flatten(0, 1)[places_P]


def last_layers(encoder: PreTrainedModel, batch: Batch, count: int) -> list[Tensor]:
    """States of the last `count` layers, the last one last, each hidden_BLD. Raises ValueError if there are fewer."""
    if encoder.config.num_hidden_layers < count:
        raise ValueError(
            f"the encoder has {encoder.config.num_hidden_layers} layers, and the head reads the last {count}"
        )
    if _scores_lean(encoder):
        return [states_TD.unflatten(0, batch.ids_BL.shape) for states_TD in scoring_layers(encoder, batch, count)]
    states = _pass(encoder, batch, output_hidden_states=True).hidden_states
    return [states_BLD.float() for states_BLD in states[-count:]]


def _scores_lean(encoder: PreTrainedModel) -> bool:
    return not encoder.training and isinstance(getattr(encoder, "scoring_pass", None), ScoringPass)


def _pass(encoder: PreTrainedModel, batch: Batch, **asked: bool) -> Any:
    """transformers' forward, under autocast where predict asked for bfloat16."""
    bf16 = not encoder.training and getattr(encoder, "scoring_pass", None) is torch.bfloat16
    given = inputs(batch, type_of(encoder.config))
    if not bf16:
        return encoder(**given, **asked)
    with torch.autocast(batch.ids_BL.device.type, dtype=torch.bfloat16):
        return encoder(**given, **asked)


def type_of(config: Any) -> ModelType:
    """Our name of the encoder that a transformers config describes."""
    found: ModelType = getattr(config, "pairboard_model_type", config.model_type)
    return found
