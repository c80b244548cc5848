"""The lean training pass against transformers' own: the same states and gradients, in float32 and near in bfloat16."""

import os
import platform
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from ml.batches import make_batch
from ml.contract.experiment import ExperimentConfig
from ml.encoder import hidden_states
from ml.lean import dropout, keep_mask, speed_up
from ml.lean_scoring import scored_by
from ml.machine import Machine
from ml.pair_model import build_classifier, build_language_model
from ml.pairs import Pairs
from ml.predict import PairsToScore, Scoring, predict
from ml.pretrain import Corpus, pretrain_objective
from ml.tokens import build_tokens

Config = Callable[..., ExperimentConfig]
Rows = Callable[..., list[tuple[str, str, int]]]
CPU = torch.device("cpu")


@pytest.fixture
def made(tiny_config: Config, toy_rows: Rows, as_pairs: Callable[..., Pairs]) -> Callable[..., SimpleNamespace]:
    """An encoder without dropout, and a batch of pairs of different lengths."""

    toy_pairs = as_pairs(toy_rows(60))

    def make(**encoder: object) -> SimpleNamespace:
        config = tiny_config(encoder={"hidden_dropout_prob": 0.0, **encoder})
        tokens = build_tokens(config.tokens, toy_pairs.a + toy_pairs.b, "ids", 32)
        model, _ = build_classifier(config, tokens, None, CPU, 1)
        encoded = tokens.encode(toy_pairs)
        rows = np.arange(16)
        assert len(set(encoded.lengths_N[rows].tolist())) > 1  # padding is there
        return SimpleNamespace(encoder=model.encoder, batch=make_batch(encoded, rows, tokens.special_ids[0]))

    return make


def learn(encoder: PreTrainedModel, states: Tensor, real: Tensor) -> dict[str, Tensor]:
    """Gradients of some function of the states of real tokens."""
    encoder.zero_grad()
    weight = torch.linspace(-1, 1, states.size(-1))
    ((states * weight).tanh() * real[..., None]).square().sum().backward()
    return {name: p.grad.clone() for name, p in encoder.named_parameters() if p.grad is not None}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the instruction sets that oneDNN is told are x86's")
def test_bfloat16_is_left_to_torch_where_onednn_has_no_products_of_it() -> None:
    """As on x86 without AVX512; there every product of oneDNN in bfloat16 raises."""
    asked = "import torch; from ml.lean import has_products as has; print(has(torch.float32), has(torch.bfloat16))"
    old = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    told = subprocess.run([sys.executable, "-c", asked], env=old, capture_output=True, text=True, check=True).stdout
    assert told.split() == [str(torch.backends.mkldnn.is_available()), "False"]


@pytest.mark.parametrize("model_type", ["bert", "roberta", "electra", "nezha"])
@pytest.mark.parametrize("bf16", [False, True])
def test_it_is_transformers_pass(made: Callable[..., SimpleNamespace], model_type: str, bf16: bool) -> None:
    own = {"embedding_size": 16} if model_type == "electra" else {}
    it = made(model_type=model_type, **own)
    it.encoder.train()
    real = it.batch.real_BL
    theirs = hidden_states(it.encoder, it.batch)
    expected = learn(it.encoder, theirs, real)

    speed_up(it.encoder, Machine(CPU, 2, bf16))
    ours = hidden_states(it.encoder, it.batch)
    assert ours.dtype == torch.float32
    found = learn(it.encoder, ours, real)
    assert found.keys() == expected.keys()
    share = 0.03 if bf16 else 1e-5
    assert distance(ours[real], theirs[real]) < share
    for name, gradient in expected.items():
        if name.endswith("key.bias"):  # softmax does not feel it: its gradient is rounding
            continue
        assert distance(found[name], gradient) < 3 * share, name

    places = real.flatten().nonzero()[::3, 0]
    there = hidden_states(it.encoder, it.batch, places)
    assert distance(there, ours.flatten(0, 1)[places]) < share
    it.encoder.eval()  # scoring is transformers' pass unless predict asks for another
    assert torch.equal(hidden_states(it.encoder, it.batch, places), theirs.flatten(0, 1)[places])


@pytest.mark.parametrize("model_type", ["bert", "roberta", "electra"])
def test_words_that_are_the_output_layer_too_learn_from_both(
    tiny_config: Config, toy_rows: Rows, as_pairs: Callable[..., Pairs], model_type: str
) -> None:
    """Their gradient is dense and the same as by transformers' pass, though the embedding's share of it is sparse."""
    pairs = as_pairs(toy_rows(60))
    own = {"embedding_size": 16} if model_type == "electra" else {}
    config = tiny_config(encoder={"model_type": model_type, "hidden_dropout_prob": 0.0, **own})
    tokens = build_tokens(config.tokens, pairs.a + pairs.b, "ids", 32)
    model = build_language_model(config, tokens, None, CPU, 1).train()
    encoded = tokens.encode(pairs)
    objective = pretrain_objective(
        model, Corpus(encoded, np.ones(60, dtype=bool)), tokens, config.pretrain, 1, torch.device("cpu")
    )
    batch = objective.batch(np.arange(16))
    words = model.get_input_embeddings().weight

    def gradient() -> Tensor:
        model.zero_grad()
        objective.loss(batch).backward()
        return words.grad.clone()

    expected = gradient()
    speed_up(model, Machine(CPU, 2, False))
    encoders = [part for part in model.modules() if getattr(part, "lean_pass", None)]
    assert encoders
    assert all(encoder.lean_pass.tied for encoder in encoders)
    found = gradient()
    assert not found.is_sparse
    assert distance(found, expected) < 1e-5
    (again,) = torch.autograd.grad(objective.loss(batch), words)  # as adversarial training asks
    assert torch.equal(again.to_dense(), found)


@pytest.mark.parametrize("model_type", ["bert", "roberta", "electra", "nezha", "albert"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_scoring_pass_is_transformers(
    made: Callable[..., SimpleNamespace], model_type: str, dtype: torch.dtype
) -> None:
    own = {"embedding_size": 16} if model_type == "electra" else {}
    it = made(model_type=model_type, **own)
    it.encoder.eval()
    real = it.batch.real_BL
    with torch.inference_mode():
        theirs = hidden_states(it.encoder, it.batch)
        with scored_by(it.encoder, dtype, lean=True):
            ours = hidden_states(it.encoder, it.batch)
            places = real.flatten().nonzero()[::3, 0]
            there = hidden_states(it.encoder, it.batch, places)
        assert torch.equal(hidden_states(it.encoder, it.batch), theirs)  # the encoder is what it was
    share = 0.02 if dtype is torch.bfloat16 else 1e-5
    assert ours.dtype == torch.float32
    assert distance(ours[real], theirs[real]) < share
    assert distance(there, ours.flatten(0, 1)[places]) < share
    if dtype is torch.bfloat16:
        assert not torch.equal(ours, theirs)


@pytest.mark.parametrize("head", ["cls", "mean", "last4_cls"])
def test_bfloat16_orders_pairs_as_float32_does(
    tiny_config: Config, toy_rows: Rows, as_pairs: Callable[..., Pairs], head: str
) -> None:
    """A score file from bfloat16 products has no more ties than one from float32, and near probabilities."""
    pairs = as_pairs(toy_rows(300))
    config = tiny_config(finetune={"head": head}, encoder={"num_hidden_layers": 4})
    tokens = build_tokens(config.tokens, pairs.a + pairs.b, "ids", 32)
    model, _ = build_classifier(config, tokens, None, CPU, 1)
    for parameter in model.parameters():  # away from the start, where all pairs are alike
        parameter.data.mul_(3)
    asked = PairsToScore(tokens.encode(pairs))
    exact_N, near_N = predict(model, asked, Scoring(CPU)), predict(model, asked, Scoring(CPU, bf16=True))
    assert not np.array_equal(exact_N, near_N)
    assert len(np.unique(near_N)) >= 0.99 * len(np.unique(exact_N))
    assert np.corrcoef(exact_N, near_N)[0, 1] > 0.99


def distance(a: Tensor, b: Tensor) -> float:
    """Relative to b."""
    return ((a - b).norm() / b.norm()).item()


def test_it_leaves_others_alone(made: Callable[..., SimpleNamespace]) -> None:
    albert = made(model_type="albert").encoder
    speed_up(albert, Machine(CPU, 2, False))
    assert not hasattr(albert, "lean_pass")
    other = made().encoder
    other.config.hidden_act = "relu"
    speed_up(other, Machine(CPU, 2, False))
    assert not hasattr(other, "lean_pass")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout(dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    ones = torch.ones(301, 333, dtype=dtype, requires_grad=True)
    dropped = dropout(ones, 0.3)
    assert set(dropped.unique().tolist()) == {0.0, float(torch.tensor(1 / 0.7, dtype=dtype))}
    share = (dropped == 0).float().mean().item()
    assert share == pytest.approx(0.3, abs=0.007)  # five deviations of 100,233 draws
    for axis in (0, 1):  # no stripes
        assert (dropped == 0).float().mean(axis).std() == pytest.approx((0.21 / dropped.size(axis)) ** 0.5, rel=0.2)
    dropped.sum().backward()
    assert ones.grad is not None
    assert torch.equal(ones.grad == 0, dropped == 0)
    assert not torch.equal(keep_mask(ones.shape, 0.3), keep_mask(ones.shape, 0.3))
    assert dropout(ones, 0.0) is ones
    assert bool((keep_mask(torch.Size([1000]), 1e-9) == -1).all())
