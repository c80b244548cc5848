"""The scoring pass of BERT-shaped encoders on a CPU: lean's function without dropout and without a way back.

Weights are cast once a file, GELU and the residual sums are done inside oneDNN's products, and attention is one fused
kernel, which without dropout beats separate products. Switched on by predict, called by encoder.hidden_states.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import layer_norm, scaled_dot_product_attention

from ml.batches import Batch
from ml.lean import embed, has_products, lean_encoders, mix, padding_mask
from ml.relative_attention import RELATIVE


@dataclass(frozen=True, slots=True)
class _Layer:
    """A layer's parameters as the products want them; a norm is (weight, bias)."""

    query_key_value: tuple[Tensor, Tensor]
    attention_output: tuple[Tensor, Tensor]
    attention_norm: tuple[Tensor, Tensor]
    inner: tuple[Tensor, Tensor]
    output: tuple[Tensor, Tensor]
    norm: tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class ScoringPass:
    """An encoder's layers in `dtype`; as they were when it was made."""

    dtype: torch.dtype
    layers: tuple[_Layer, ...]


@contextmanager
def scored_by(encoder: Any, dtype: torch.dtype, *, lean: bool) -> Iterator[None]:
    """Inside, `encoder` scores with products in `dtype`: by the lean pass if that is wanted and it is shaped for it, by
    transformers' otherwise. Its weights must not change meanwhile."""
    if lean and encoder in lean_encoders(encoder) and has_products(dtype):
        encoder.scoring_pass = ScoringPass(dtype, tuple(_cast(layer, dtype) for layer in encoder.encoder.layer))
    else:
        encoder.scoring_pass = dtype
    try:
        yield
    finally:
        del encoder.scoring_pass


def _cast(layer: Any, dtype: torch.dtype) -> _Layer:
    def both(part: Any) -> tuple[Tensor, Tensor]:
        return part.weight.detach().to(dtype), part.bias.detach().to(dtype)

    attention = layer.attention
    three = [attention.self.query, attention.self.key, attention.self.value]
    weight = torch.cat([part.weight.detach() for part in three]).to(dtype)
    bias = torch.cat([part.bias.detach() for part in three]).to(dtype)
    return _Layer(
        (weight, bias),
        both(attention.output.dense),
        both(attention.output.LayerNorm),
        both(layer.intermediate.dense),
        both(layer.output.dense),
        both(layer.output.LayerNorm),
    )


def scoring_states(encoder: Any, batch: Batch, places_P: Tensor | None) -> Tensor:
    """The last layer's float32 states: hidden_BLD, or those of `places_P` of the batch laid out flat, hidden_PD."""
    states = scoring_layers(encoder, batch, 1, places_P)[0]
    return states if places_P is not None else states.unflatten(0, batch.ids_BL.shape)


def scoring_layers(encoder: Any, batch: Batch, count: int, places_P: Tensor | None = None) -> list[Tensor]:
    """float32 states of the last `count` layers, hidden_TD; of the last one at `places_P` only, if given."""
    made: ScoringPass = encoder.scoring_pass
    states_TD = embed(encoder, batch).to(made.dtype)
    mask = padding_mask(batch, made.dtype)
    found = []
    for layer in made.layers:
        mixed_TD = _attend(encoder.config, layer, states_TD, mask, batch)
        if places_P is not None and layer is made.layers[-1]:
            mixed_TD, states_TD = mixed_TD[places_P], states_TD[places_P]
        states_TD = _feed(encoder.config.layer_norm_eps, layer, mixed_TD, states_TD)
        found.append(states_TD)
    return [states.float() for states in found[-count:]]


def _attend(config: Any, layer: _Layer, states_TD: Tensor, mask: Tensor | None, batch: Batch) -> Tensor:
    heads = config.num_attention_heads
    width = states_TD.size(1) // heads
    product = torch.ops.mkldnn._linear_pointwise(states_TD, *layer.query_key_value, "none", [], "")
    query, key, value = product.view(*batch.ids_BL.shape, 3, heads, width).permute(2, 0, 3, 1, 4).unbind(0)
    if config._attn_implementation == RELATIVE:
        mixed = mix(config, query * width**-0.5, key, value, mask, 0.0)
    else:
        mixed = scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2)
    return mixed.reshape(states_TD.shape)


def _feed(eps: float, layer: _Layer, mixed: Tensor, residual: Tensor) -> Tensor:
    """What follows attention: its output, norm, the feed-forward, norm."""
    add = torch.ops.mkldnn._linear_pointwise.binary
    states = add(mixed, residual, *layer.attention_output, "add")
    states = layer_norm(states, layer.attention_norm[0].shape, *layer.attention_norm, eps)
    inner = torch.ops.mkldnn._linear_pointwise(states, *layer.inner, "gelu", [], "none")
    output = add(inner, states, *layer.output, "add")
    return layer_norm(output, layer.norm[0].shape, *layer.norm, eps)
