"""The training pass of BERT-shaped encoders on a CPU: transformers' own parameters, fewer and faster operations.

The parameters stay those of transformers' modules, in float32: nothing is converted, saved or loaded twice, and the
optimizer does not notice. What is spared, with the same function computed:

- matrix products in bfloat16 where the processor has them, weights cast once a pass and not at every use;
- one product for query, key and value; bias inside the product;
- the last layer's output projection and feed-forward at the places that are asked for (masked tokens, [CLS]) only;
- three quarters of dropout's random numbers, and masks that are bits.

Switched on by the loop; called by encoder.hidden_states. Scoring has a pass of its own, lean_scoring.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, gelu, layer_norm
from transformers import BertModel, ElectraModel, RobertaModel

from ml.batches import Batch
from ml.machine import Machine
from ml.relative_attention import RELATIVE, by_distance, by_place, relative_positions

_SHAPED_LIKE_BERT = (BertModel, RobertaModel, ElectraModel)
_RANDOM_BITS = 15  # of the random number that decides about an element: its probability is a multiple of 2^-15


@dataclass(frozen=True, slots=True)
class LeanPass:
    """How an encoder's training pass is computed; `dtype` is that of products and of what is kept for backward.

    `tied`: the word embeddings are a language model's output layer, too, which gives them a gradient of every row.
    """

    dtype: torch.dtype
    tied: bool = False


def speed_up(model: nn.Module, machine: Machine) -> None:
    """Have every encoder in `model` that is shaped like BERT trained by the lean pass, if the machine is a CPU.

    Others (ALBERT, weights with another activation) keep transformers' pass.
    """
    if machine.device.type != "cpu":
        return
    outputs = [part.weight for part in model.modules() if isinstance(part, nn.Linear)]
    for encoder in lean_encoders(model):
        words = encoder.embeddings.word_embeddings.weight
        tied = any(weight is words for weight in outputs)
        encoder.lean_pass = LeanPass(torch.bfloat16 if machine.bf16 else torch.float32, tied)


def lean_encoders(model: nn.Module) -> list[Any]:
    """The encoders in `model` whose function the lean passes compute."""
    return [
        part
        for part in model.modules()
        if isinstance(part, _SHAPED_LIKE_BERT) and part.config.hidden_act == "gelu" and not part.config.is_decoder
    ]


def lean_states(encoder: Any, batch: Batch, places_P: Tensor | None) -> Tensor:
    """The last layer's float32 states: hidden_BLD, or those of `places_P` of the batch laid out flat, hidden_PD."""
    with torch.autocast("cpu", enabled=False):
        states_TD = embed(encoder, batch, sparse=encoder.lean_pass.tied).to(encoder.lean_pass.dtype)
        states_TD = dropout(states_TD, encoder.config.hidden_dropout_prob)
        mask = padding_mask(batch, states_TD.dtype)
        layers = encoder.encoder.layer
        for layer in layers:
            states_TD = _layer(encoder.config, layer, states_TD, mask, batch, places_P if layer is layers[-1] else None)
        return states_TD.float() if places_P is not None else states_TD.float().unflatten(0, batch.ids_BL.shape)


def embed(encoder: Any, batch: Batch, *, sparse: bool = False) -> Tensor:
    """Sum and norm of the embeddings, float32: an adversarial move is smaller than bfloat16 could show.

    `sparse`: the words' gradient holds the batch's rows only, and autograd adds them to the output layer's; a second
    one of the whole vocabulary, nearly all zeros, would be written and added at every step.
    """
    parts, config = encoder.embeddings, encoder.config
    length = batch.ids_BL.size(1)
    words_BLD = embedding(batch.ids_BL, parts.word_embeddings.weight, config.pad_token_id, sparse=sparse)
    if isinstance(encoder, RobertaModel):
        first = config.pad_token_id + 1  # RoBERTa counts positions from there, and has no segments
        sum_BLD = words_BLD + parts.token_type_embeddings.weight[0]
    else:
        first = 0
        sum_BLD = words_BLD + embedding(batch.types_BL, parts.token_type_embeddings.weight)
    if config._attn_implementation != RELATIVE:
        sum_BLD = sum_BLD + parts.position_embeddings.weight[first : first + length]
    normed_TD = parts.LayerNorm(sum_BLD).flatten(0, 1)
    return encoder.embeddings_project(normed_TD) if hasattr(encoder, "embeddings_project") else normed_TD


def padding_mask(batch: Batch, dtype: torch.dtype) -> Tensor | None:
    """What is added to scores: the lowest number at padding; None when there is no padding."""
    if bool(batch.real_BL.all()):
        return None
    zeros = torch.zeros(batch.real_BL.shape, dtype=dtype)
    return zeros.masked_fill_(~batch.real_BL, torch.finfo(dtype).min)[:, None, None, :]


def _layer(
    config: Any, layer: Any, states_TD: Tensor, mask: Tensor | None, batch: Batch, places_P: Tensor | None
) -> Tensor:
    """One layer; with places_P, its states at these places only."""
    mixed_TD = _attend(config, layer.attention.self, states_TD, mask, batch)
    if places_P is not None:
        mixed_TD, states_TD = mixed_TD[places_P], states_TD[places_P]
    states_TD = _output(layer.attention.output, mixed_TD, states_TD, config.hidden_dropout_prob)
    inner_TF = gelu(_linear(states_TD, layer.intermediate.dense.weight, layer.intermediate.dense.bias))
    return _output(layer.output, inner_TF, states_TD, config.hidden_dropout_prob)


def _attend(config: Any, part: Any, states_TD: Tensor, mask: Tensor | None, batch: Batch) -> Tensor:
    """Self-attention of the B pairs of a batch: products of matrices, which at 20 tokens beat fused kernels."""
    weight = torch.cat([part.query.weight, part.key.weight, part.value.weight])
    bias = torch.cat([part.query.bias, part.key.bias, part.value.bias])
    heads = config.num_attention_heads
    width = states_TD.size(1) // heads
    parts = _linear(states_TD, weight, bias).view(*batch.ids_BL.shape, 3, heads, width).permute(2, 0, 3, 1, 4)
    query, key, value = parts.unbind(0)
    query = query * width**-0.5
    return mix(config, query, key, value, mask, config.attention_probs_dropout_prob).reshape(states_TD.shape)


def mix(config: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, probability: float) -> Tensor:
    """The values by the softmax of a scaled query's products with the keys, each (B, heads, L, width); (B, L, heads,
    width) comes back."""
    scores = torch.matmul(query, key.transpose(2, 3))
    relative = None
    if config._attn_implementation == RELATIVE:
        relative = relative_positions(query.size(2), query.size(3), query.device).to(query.dtype)
        scores = scores + by_place(torch.matmul(query, relative.T))
    if mask is not None:
        scores = scores + mask
    weights = dropout(torch.softmax(scores, dim=-1), probability)
    mixed = torch.matmul(weights, value)
    if relative is not None:
        mixed = mixed + torch.matmul(by_distance(weights), relative)
    return mixed.transpose(1, 2)


def _output(part: Any, states: Tensor, residual: Tensor, probability: float) -> Tensor:
    """Linear, dropout, residual, norm; dropout's factor goes into the addition."""
    states = _linear(states, part.dense.weight, part.dense.bias)
    if probability:
        kept = _Kept.apply(states, keep_mask(states.shape, probability))
        states = torch.add(residual, kept, alpha=1 / (1 - probability))
    else:
        states = residual + states
    norm = part.LayerNorm
    return layer_norm(states, norm.normalized_shape, norm.weight.to(states.dtype), norm.bias.to(states.dtype), norm.eps)


def dropout(states: Tensor, probability: float) -> Tensor:
    """Inverted dropout (Srivastava et al. 2014)."""
    if not probability:
        return states
    kept: Tensor = _Kept.apply(states, keep_mask(states.shape, probability))
    return kept * (1 / (1 - probability))


def keep_mask(shape: torch.Size, probability: float) -> Tensor:
    """int16, all bits set where an element stays and none where it is dropped, from torch's default generator.

    Four elements share a 64-bit random number: drawing one for each was the largest part of dropout's time.
    """
    count = math.prod(shape)
    draws = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(1 << 63), None)
    numbers = draws.view(torch.int16)[:count].view(shape).bitwise_and_((1 << _RANDOM_BITS) - 1)
    # a number below the threshold leaves a difference >= 0, and shifting spreads the sign over all bits
    return torch.rsub(numbers, round(probability * (1 << _RANDOM_BITS)) - 1).bitwise_right_shift_(_RANDOM_BITS)


class _Kept(torch.autograd.Function):
    """Zeros where the mask has no bits."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, mask: Tensor) -> Tensor:
        ctx.save_for_backward(mask)
        return _where(mask, states)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (mask,) = ctx.saved_tensors
        return _where(mask, gradient), None


def _where(mask: Tensor, states: Tensor) -> Tensor:
    integer = torch.int16 if states.dtype == torch.bfloat16 else torch.int32
    return states.contiguous().view(integer).bitwise_and(mask).view(states.dtype)


class _Linear(torch.autograd.Function):
    """states weight' + bias, in one kernel of oneDNN: on AMD MKL's float32 product takes half as long again."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(states, weight)
        product: Tensor = torch.ops.mkldnn._linear_pointwise(states, weight, bias, "none", [], "")
        return product

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        states, weight = ctx.saved_tensors
        return gradient @ weight, gradient.t() @ states, gradient.sum(0)


def has_products(dtype: torch.dtype) -> bool:
    """Whether oneDNN is there and multiplies `dtype` on this processor: bfloat16 it refuses on x86 without AVX512."""
    if not torch.backends.mkldnn.is_available():
        return False
    return dtype != torch.bfloat16 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _linear(states_TD: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    if not has_products(states_TD.dtype):
        return nn.functional.linear(states_TD, weight.to(states_TD.dtype), bias.to(states_TD.dtype))
    product: Tensor = _Linear.apply(states_TD, weight.to(states_TD.dtype), bias.to(states_TD.dtype))
    return product
