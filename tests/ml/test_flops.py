"""The formula of a step's arithmetic against torch's own count."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from ml.batches import make_batch
from ml.contract.experiment import ExperimentConfig
from ml.encoder import hidden_states
from ml.flops import Work, matrix_rate
from ml.machine import Machine
from ml.pair_model import build_classifier
from ml.pairs import Pairs
from ml.tokens import build_tokens

CPU = torch.device("cpu")


@pytest.mark.parametrize("model_type", ["bert", "roberta", "electra", "albert"])
def test_the_formula(tiny_config: Callable[..., ExperimentConfig], model_type: str) -> None:
    config = tiny_config(encoder={"model_type": model_type, "num_hidden_layers": 3, "embedding_size": 16})
    pairs = Pairs(["1 2 3 4"] * 6, ["3 4 5"] * 6, np.zeros(6, np.int8))
    tokens = build_tokens(config.tokens, pairs.a + pairs.b, "ids", 32)
    model, _ = build_classifier(config, tokens, None, CPU, 1)
    encoded = tokens.encode(pairs)
    batch = make_batch(encoded, np.arange(6), tokens.special_ids[0])
    assert bool(batch.real_BL.all())  # torch counts padding
    counter = FlopCounterMode(display=False)
    with counter:
        hidden_states(model.encoder, batch).sum().backward()
    ours = Work(model).of(encoded.lengths_N)
    if model_type == "electra":  # its projection of the embeddings stands before the encoder
        ours += 6 * 16 * 32 * encoded.lengths_N.sum()
    assert ours == counter.get_total_flops()


def test_a_device_is_measured() -> None:
    rate = matrix_rate(Machine(CPU, 1, False))
    assert 1e8 < rate < 1e14
    assert matrix_rate(Machine(CPU, 1, False)) == rate  # once a process
