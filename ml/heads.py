"""What a label is read from: the heads of the pair classifier. Called by pair_model."""

from typing import Any

import torch
from torch import Tensor, nn

from ml.batches import Batch, round_up
from ml.contract.finetune_config import FinetuneConfig, HeadName
from ml.encoder import Architecture, hidden_states, last_layers

WIDTHS: dict[HeadName, int] = {"cls": 1, "mean": 1, "max": 1, "cls_mean": 2, "last4_cls": 4}


class Head(nn.Module):
    """Pooling, dropout, linear: from states to logits. `dense` is only there for cls (BERT's pooler)."""

    def __init__(self, config: FinetuneConfig, width: int, max_length: int, architecture: Architecture) -> None:
        super().__init__()
        self.name = config.head
        self.samples = config.multi_sample_dropout
        parts = round_up(max_length) if config.head == "all" else WIDTHS[config.head]
        if config.head == "cls":
            self.dense = nn.Linear(width, width)
            self.activation = architecture.activation()
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.out = nn.Linear(parts * width, 2)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                # BERT's 0.02 for one state; as many more as are summed, as much smaller, or it starts far from chance
                nn.init.normal_(layer.weight, std=0.02 / (layer.in_features / width) ** 0.5)
                nn.init.zeros_(layer.bias)

    def forward(self, encoder: Any, batch: Batch) -> Tensor:
        """logits_KBC: in training one for each of K dropout masks (Inoue 2019), otherwise K is 1."""
        pooled_BD = self._pool(encoder, batch)
        if self.name == "all":
            return self._flattened(pooled_BD)
        masks = self.samples if self.training else 1
        return torch.stack([self.out(self.dropout(pooled_BD)) for _ in range(masks)])

    def _pool(self, encoder: Any, batch: Batch) -> Tensor:
        if self.name == "last4_cls":
            return torch.cat([states_BLD[:, 0] for states_BLD in last_layers(encoder, batch, 4)], dim=-1)
        if self.name == "cls":
            first_B = torch.arange(0, batch.ids_BL.numel(), batch.ids_BL.size(1), device=batch.ids_BL.device)
            pooled: Tensor = self.activation(self.dense(hidden_states(encoder, batch, first_B)))
            return pooled
        hidden_BLD = hidden_states(encoder, batch)
        real_BL1 = batch.real_BL[..., None]
        if self.name == "all":
            return hidden_BLD * real_BL1
        if self.name == "max":
            return hidden_BLD.masked_fill(~real_BL1, torch.finfo(hidden_BLD.dtype).min).amax(1)
        mean_BD = (hidden_BLD * real_BL1).sum(1) / real_BL1.sum(1)
        return mean_BD if self.name == "mean" else torch.cat([hidden_BLD[:, 0], mean_BD], dim=-1)

    def _flattened(self, hidden_BLD: Tensor) -> Tensor:
        """Every token's state into one linear layer; a batch narrower than the longest pair uses its first columns."""
        flat = hidden_BLD.flatten(1)
        weight = self.out.weight[:, : flat.size(1)]
        masks = self.samples if self.training else 1
        return torch.stack([nn.functional.linear(self.dropout(flat), weight, self.out.bias) for _ in range(masks)])
