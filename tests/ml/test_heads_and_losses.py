"""Heads read what they say they read; losses are their formulas."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, kl_div

from ml.averaging import Keeper, mean_of
from ml.batches import Batch
from ml.contract.experiment import ExperimentConfig, FinetuneConfig
from ml.encoded import EncodedPairs
from ml.encoder import hidden_states
from ml.errors import RunError
from ml.finetune import LabelObjective, Lessons, class_weights, divergence, targets
from ml.pair_model import PairClassifier, build_classifier
from ml.predict import PairsToScore, Scoring, predict, predict_mean

CPU = torch.device("cpu")
TOKENS = SimpleNamespace(vocab_size=40, special_ids=(0, 1, 2, 3, 4), unknown_ids=())
ENCODER = {"num_hidden_layers": 4, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
LABELS = np.array([1, 0, 0, 0, 1, 0], np.int8)


def classifier(head: str, **finetune: object) -> PairClassifier:
    config = {"encoder": ENCODER, "finetune": {"head": head, **finetune}, "data": {"max_length": 12}}
    return build_classifier(ExperimentConfig.model_validate(config), TOKENS, None, CPU, 1)[0].eval()


def batch_of(width: int) -> Batch:
    """Two rows of 6 and 4 tokens, padded to `width`."""
    ids = torch.tensor([[2, 7, 8, 3, 9, 3], [2, 5, 3, 3, 0, 0]])
    ids = torch.nn.functional.pad(ids, (0, width - 6))
    return Batch(ids, torch.zeros_like(ids), ids != 0, np.arange(2))


@pytest.mark.parametrize("head", ["cls", "all", "mean", "max", "cls_mean", "last4_cls"])
def test_padding_does_not_count(head: str) -> None:
    model = classifier(head)
    with torch.inference_mode():
        assert torch.allclose(model(batch_of(6)), model(batch_of(12)), atol=1e-6)


@pytest.mark.parametrize("head", ["cls", "all", "mean", "max", "cls_mean"])
def test_each_head_reads_what_it_says(head: str) -> None:
    batch, model = batch_of(8), classifier(head)
    out = model.head.out
    with torch.inference_mode():
        states = hidden_states(model.encoder, batch)
        real = [states[0, :6], states[1, :4]]
        mean = torch.stack([one.mean(0) for one in real])
        if head == "all":
            expected = torch.stack([out.bias + out.weight[:, : one.numel()] @ one.flatten() for one in real])
        elif head == "cls":
            expected = out(torch.tanh(model.head.dense(states[:, 0])))
        elif head == "max":
            expected = out(torch.stack([one.amax(0) for one in real]))
        else:
            expected = out(mean if head == "mean" else torch.cat([states[:, 0], mean], 1))
        assert torch.allclose(model(batch)[0], expected, atol=1e-5)
    assert out.in_features == {"all": 12, "cls_mean": 2}.get(head, 1) * 16


def test_last_four_layers_are_needed() -> None:
    with pytest.raises(ValueError, match=r"finetune.head last4_cls .* the encoder has 3"):
        ExperimentConfig.model_validate({"encoder": {"num_hidden_layers": 3}, "finetune": {"head": "last4_cls"}})
    model = classifier("last4_cls")
    batch = batch_of(8)
    with torch.inference_mode():
        before = model(batch)
        model.encoder.encoder.layer[0].output.dense.weight.mul_(1.5)
        assert not torch.equal(before, model(batch))


def test_multi_sample_dropout_draws_masks_in_training_alone() -> None:
    model = classifier("mean", multi_sample_dropout=5, classifier_dropout=0.5)
    assert model(batch_of(6)).shape == (1, 2, 2)
    model.train()
    model.encoder.eval()
    logits = model(batch_of(6))
    assert logits.shape == (5, 2, 2)
    assert len({tuple(one.flatten().tolist()) for one in logits}) > 1


def lessons(**more: object) -> Lessons:
    flat = np.tile(np.array([2, 7, 3, 9, 3], np.int32), 6)
    encoded = EncodedPairs(flat, np.arange(7, dtype=np.int64) * 5, np.full(6, 3, np.int32))
    return Lessons(encoded, LABELS, **more)


def phase(**fields: object) -> FinetuneConfig:
    return FinetuneConfig.model_validate(fields)


def test_class_weights_are_their_formulas() -> None:
    assert class_weights(LABELS, phase()).tolist() == [1, 1]
    assert class_weights(LABELS, phase(positive_weight=1.3)).tolist() == [1, 1]  # explicit was not asked for
    assert class_weights(LABELS, phase(class_weight="explicit", positive_weight=1.3))[1] == pytest.approx(1.3)
    weights = class_weights(LABELS, phase(class_weight="train_prior"))
    assert weights[1] * 2 == pytest.approx(float(weights[0]) * 4)  # 2 positives weigh as much as 4 negatives
    weighted = class_weights(LABELS, phase(class_weight="test_prior", test_prior=0.25))
    assert 2 * weighted[1] / (2 * weighted[1] + 4 * weighted[0]) == pytest.approx(0.25)


def test_targets_smooth_and_mix() -> None:
    assert targets(lessons(), phase(label_smoothing_factor=0.1))[0].tolist() == pytest.approx([0.05, 0.95])
    soft = np.array([0.6, 0.2, np.nan, 0.5, 0.9, 0.1])
    mixed = targets(lessons(soft_N=soft), phase(soft_label_weight=0.25))
    assert mixed[0].tolist() == pytest.approx([0.1, 0.9])
    assert mixed[2].tolist() == [1, 0]  # nothing known of it: its label
    assert torch.allclose(mixed.sum(1), torch.ones(6))


def test_the_loss_is_torchs_weighted_cross_entropy_and_r_drop_its_divergence() -> None:
    model = classifier("mean", classifier_dropout=0.0)
    asked = phase(class_weight="explicit", positive_weight=2.0)
    objective = LabelObjective(model, lessons(), asked, 1, CPU)
    batch = objective.batch(np.arange(6))
    logits = model(batch.batch)[0]
    expected = cross_entropy(logits, torch.from_numpy(LABELS.astype(np.int64)), torch.tensor([1.0, 2.0]))
    assert objective.loss(batch).item() == pytest.approx(expected.item(), rel=1e-5)
    smooth = LabelObjective(model, lessons(), phase(label_smoothing_factor=0.2), 1, CPU)
    expected = cross_entropy(logits, torch.from_numpy(LABELS.astype(np.int64)), label_smoothing=0.2)
    assert smooth.loss(smooth.batch(np.arange(6))).item() == pytest.approx(expected.item(), rel=1e-5)

    p, q = torch.log_softmax(torch.randn(2, 1, 4, 2), -1)
    expected = kl_div(q[0], p[0], reduction="batchmean", log_target=True)
    expected = expected + kl_div(p[0], q[0], reduction="batchmean", log_target=True)
    assert divergence(p, q).item() == pytest.approx(expected.item(), rel=1e-5)
    still = LabelObjective(model, lessons(), phase(r_drop_alpha=5.0), 1, CPU)
    plain = LabelObjective(model, lessons(), phase(), 1, CPU)
    assert still.loss(still.batch(np.arange(6))).item() == pytest.approx(
        plain.loss(plain.batch(np.arange(6))).item(), rel=1e-5
    )  # without dropout both passes agree
    model.train()
    assert still.loss(still.batch(np.arange(6))).item() > 0


def test_averages_of_weights_and_of_predictions() -> None:
    model = classifier("mean")
    states = []
    for scale in (1.0, 3.0):
        torch.manual_seed(int(scale))
        state = model.state_dict().items()
        states.append({n: torch.randn_like(t) * 0.1 if t.is_floating_point() else t for n, t in state})
    middle = mean_of(states)
    name = "head.out.weight"
    assert torch.allclose(middle[name], (states[0][name] + states[1][name]) / 2)
    pairs = PairsToScore(lessons().encoded)
    each = []
    for state in states:
        model.load_state_dict(state)
        each.append(predict(model, pairs, Scoring(CPU)))
    assert predict_mean(model, states, pairs, Scoring(CPU)) == pytest.approx((each[0] + each[1]) / 2)
    turned = PairsToScore(pairs.encoded, EncodedPairs(np.flip(pairs.encoded.flat_T).copy(), *_rest(pairs.encoded)))
    model.load_state_dict(states[0])
    other = predict(model, PairsToScore(turned.turned), Scoring(CPU))
    assert predict(model, turned, Scoring(CPU)) == pytest.approx((each[0] + other) / 2)


def _rest(encoded: EncodedPairs) -> tuple[np.ndarray, np.ndarray]:
    return encoded.offsets, encoded.second_N


def test_the_keeper_keeps_the_last_or_the_best(tmp_path) -> None:
    def kept(averaging: str, **more: object) -> list[float]:
        model = torch.nn.Linear(1, 1, bias=False)
        folder = tmp_path / averaging
        keeper = Keeper(model, phase(averaging=averaging, averaging_checkpoints=2, **more), folder)
        for step, value in enumerate([0.5, 0.9, 0.8, 0.1, 0.2], start=1):
            torch.nn.init.constant_(model.weight, step)
            keeper.after_step(step / 5)
            keeper.after_evaluation(step, value)
            assert len(list(folder.glob("*"))) <= 2 if folder.exists() else True
        found = [float(weights["weight"]) for weights in keeper.results()]
        keeper.forget()
        assert not folder.exists()
        return found

    assert kept("none") == [5]
    assert kept("none", early_stopping_patience=3) == [2]
    assert kept("last_weights") == [4.5]
    assert kept("best_weights") == [2.5]
    assert kept("last_predictions") == [4, 5]
    assert kept("best_predictions") == [2, 3]
    assert kept("swa", swa_start=0.5) == [4]  # 3, 4, 5
    assert kept("ema", ema_decay=0.5) == [pytest.approx(((((1 + 2) / 2 + 3) / 2 + 4) / 2 + 5) / 2)]


def test_a_shallow_folder_of_weights_has_no_last_four(tmp_path) -> None:
    from tests.ml.recipes import public_weights

    folder = public_weights(tmp_path / "w")
    config = {"encoder": {"weights": str(folder)}, "finetune": {"head": "last4_cls"}, "data": {"max_length": 12}}
    with pytest.raises(RunError, match=r"the weights in .* have 1: take another head"):
        build_classifier(ExperimentConfig.model_validate(config), TOKENS, folder, CPU, 1)
