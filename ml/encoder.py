"""transformers' BERT (Devlin et al. 2019) as we call it: sizes from a config, and the pass of a batch. No fork of it.

Letters of tensors, here and elsewhere: N rows, B rows of a batch, L tokens of a row, T tokens laid flat, D width,
V vocabulary, M tokens to guess, C components or classes.
"""

import torch
from torch import Tensor
from transformers import BertConfig, BertModel

from ml.batches import Batch, round_up
from ml.contract.experiment import ExperimentConfig
from ml.tokens import Tokens


def attention_for(device: torch.device) -> str:
    """Which of transformers' attentions to take; training, scoring and verification take the same.

    On a GPU sdpa's fused kernels. On the CPU at batch 64 x 20 tokens both take the same time within the noise
    (2 x 128: 57 and 58 ms a step), and eager has one code path with and without dropout.
    """
    return "sdpa" if device.type == "cuda" else "eager"


def scratch_config(config: ExperimentConfig, tokens: Tokens) -> BertConfig:
    """Sizes of a BERT from scratch for this vocabulary; only as many positions as rows can have."""
    encoder = config.encoder
    return BertConfig(
        vocab_size=tokens.vocab_size,
        hidden_size=encoder.hidden_size,
        num_hidden_layers=encoder.num_hidden_layers,
        num_attention_heads=encoder.num_attention_heads,
        intermediate_size=encoder.intermediate_size,
        max_position_embeddings=round_up(config.data.max_length),
        pad_token_id=tokens.special_ids[0],
        **dropouts(config),
    )


def dropouts(config: ExperimentConfig) -> dict[str, float]:
    """BertConfig's dropouts as the experiment asks for them, whatever weights it starts from."""
    return {
        "hidden_dropout_prob": config.encoder.hidden_dropout_prob,
        "attention_probs_dropout_prob": config.encoder.hidden_dropout_prob,
        "classifier_dropout": config.finetune.classifier_dropout,
    }


def inputs(batch: Batch) -> dict[str, Tensor]:
    """Arguments of a BERT's forward.

    The mask is the additive float one that attention needs in the end (0 or the lowest number): handed a mask of
    0 and 1, transformers asks the device whether it is all ones, which on a GPU waits for the queue at every step.
    """
    lowest = torch.finfo(torch.float32).min
    mask_B11L = torch.zeros(batch.real_BL.shape, device=batch.real_BL.device).masked_fill(~batch.real_BL, lowest)
    return {
        "input_ids": batch.ids_BL,
        "token_type_ids": batch.types_BL,
        "attention_mask": mask_B11L[:, None, None, :],
    }


def hidden_states(bert: BertModel, batch: Batch) -> Tensor:
    """The last layer's states, hidden_BLD."""
    return bert(**inputs(batch)).last_hidden_state
