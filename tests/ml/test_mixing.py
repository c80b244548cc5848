"""Ways in which members' probabilities become one: their formulas, and weights that are honest."""

import itertools

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import rankdata
from sklearn.metrics import log_loss, roc_auc_score

from ml import mixing
from ml.contract.fusion_config import METHODS
from ml.errors import RunError
from ml.mixing import FOUND, combine, cross_fitted, dealt, fitted


def drawn(rows: int, noises: list[float], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and a calibrated member for each noise, whose errors have nothing to do with those of the others."""
    random = np.random.default_rng(seed)
    labels = (random.random(rows) < 0.4).astype(np.int8)
    noise = random.standard_normal((rows, len(noises))) * noises
    return labels, expit(2 * (labels[:, None] * 2 - 1 + noise) / np.square(noises) + logit(0.4))


def test_the_methods_are_their_formulas() -> None:
    p = np.random.default_rng(2).random((50, 3))
    assert combine(p, "mean") == pytest.approx(p.mean(1))
    assert combine(p, "logit_mean") == pytest.approx(expit(logit(p).mean(1)))
    ranks = combine(p, "rank_mean")
    assert rankdata(ranks) == pytest.approx(rankdata(rankdata(p, axis=0).sum(1)))
    assert 0 < ranks.min() < ranks.max() < 1
    assert np.isfinite(combine(np.array([[0.0, 1.0]]), "logit_mean")).all()
    assert {"mean", "rank_mean", "logit_mean", *FOUND} == set(METHODS)


def picked_by_hand(p: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Ensemble selection as the paper has it, every AUC from scikit-learn."""
    ranks = (rankdata(p, axis=0) - 0.5) / len(p)
    picks: list[int] = []
    best, shares = -1.0, np.zeros(p.shape[1])
    for _ in range(mixing.MOST_PICKS):
        found = [roc_auc_score(labels, ranks[:, [*picks, member]].mean(1)) for member in range(p.shape[1])]
        picks.append(int(np.argmax(found)))
        if max(found) > best + 1e-12:
            best, shares = max(found), np.bincount(picks, minlength=p.shape[1]) / len(picks)
    return shares


def test_greedy_picks_what_lifts_the_auc_most() -> None:
    labels, p = drawn(1500, [1.2, 1.5, 2.0, 6.0])
    found, by_hand = fitted(p, labels, "greedy"), picked_by_hand(p, labels)
    assert found.weights_M == pytest.approx(by_hand, abs=0.06)
    assert found.weights_M.sum() == pytest.approx(1)
    auc, expected = (roc_auc_score(labels, rankdata(p, axis=0) @ shares) for shares in (found.weights_M, by_hand))
    assert auc == pytest.approx(expected, abs=2e-4)
    assert auc > max(roc_auc_score(labels, member) for member in p.T)


def test_greedy_keeps_the_one_that_nothing_helps() -> None:
    labels, p = drawn(2000, [0.8, 50.0])
    assert fitted(p, labels, "greedy").weights_M.tolist() == [1, 0]
    assert fitted(p[:, [0, 0]], labels, "greedy").weights_M.tolist() == [1, 0]


def test_bags_select_from_random_halves() -> None:
    labels, p = drawn(800, [1.0, 1.1, 1.2, 1.3, 9.0])
    once, bagged = (fitted(p, labels, "greedy", bags).weights_M for bags in (0, 20))
    assert bagged.sum() == pytest.approx(1)
    assert bagged == pytest.approx(fitted(p, labels, "greedy", 20).weights_M)
    assert not np.allclose(once, bagged)
    assert (bagged[:4] > 0.05).all()
    assert bagged[4] < 0.05


def test_constrained_has_the_smallest_log_loss_of_all_shares() -> None:
    labels, p = drawn(600, [1.0, 1.4, 2.0])
    found = fitted(p, labels, "constrained").weights_M
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1)
    steps = np.arange(0, 1.001, 0.02)
    shares = [(a, b, 1 - a - b) for a, b in itertools.product(steps, steps) if a + b <= 1]
    losses = [log_loss(labels, p @ np.clip(share, 0, 1)) for share in shares]
    assert log_loss(labels, p @ found) <= min(losses) + 1e-6
    assert found == pytest.approx(shares[int(np.argmin(losses))], abs=0.03)


def test_constrained_stays_calibrated_and_leaves_out_what_is_useless() -> None:
    labels, p = drawn(4000, [1.0, 1.0])
    noise = np.random.default_rng(9).random((4000, 1))
    found = fitted(np.hstack([p, noise]), labels, "constrained").weights_M
    assert found[2] < 0.02
    assert found[:2] == pytest.approx([0.5, 0.5], abs=0.1)
    certain = np.column_stack([labels, 1 - labels]).astype(float)
    assert fitted(certain, labels, "constrained").weights_M == pytest.approx([1, 0], abs=1e-3)


def test_constrained_says_when_nothing_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, p = drawn(300, [0.6, 3.0])

    def gave_up(_loss: object, start: np.ndarray, **_more: object) -> object:
        return type("Result", (), {"x": start, "message": "it gave up"})()

    monkeypatch.setattr(mixing, "minimize", gave_up)
    with pytest.raises(RunError, match=r"smallest log loss were not found \(it gave up\)"):
        fitted(p, labels, "constrained")


@pytest.mark.parametrize("method", FOUND)
def test_weights_are_honest(method: str) -> None:
    """Fifty members of pure noise: fitted and scored on the same rows they look good, cross-fitted they don't."""
    random = np.random.default_rng(4)
    flattered, honest = [], []
    for _ in range(6):
        labels = (random.random(300) < 0.5).astype(np.int8)
        noise = random.random((300, 50))
        flattered.append(roc_auc_score(labels, fitted(noise, labels, method).of(noise)))
        honest.append(roc_auc_score(labels, cross_fitted(noise, labels, np.arange(300), method)))
    assert np.mean(flattered) > 0.6
    assert abs(np.mean(honest) - 0.5) < 0.04
    groups = np.arange(300) // 2
    again = cross_fitted(noise, labels, groups, method)
    assert np.array_equal(again, cross_fitted(noise, labels, groups, method))


@pytest.mark.parametrize("method", FOUND)
def test_members_with_errors_of_their_own_gain(method: str) -> None:
    labels, p = drawn(3000, [1.3, 1.3])
    alone = max(roc_auc_score(labels, member) for member in p.T)
    assert roc_auc_score(labels, cross_fitted(p, labels, np.arange(3000), method)) > alone + 0.04


def test_what_was_found_is_applied_to_other_rows() -> None:
    labels, p = drawn(1000, [1.0, 2.0])
    other = drawn(70, [1.0, 2.0], seed=5)[1]
    for method in FOUND:
        found = fitted(p, labels, method)
        features = {"weights": logit(other), "greedy": (rankdata(other, axis=0) - 0.5) / 70, "constrained": other}
        plain = features[method] @ found.weights_M + found.constant
        assert found.of(other) == pytest.approx(expit(plain) if method == "weights" else plain)
        assert found.of(other).min() > 0
        assert found.of(other).max() < 1


def test_components_are_dealt_whole_and_evenly_whatever_their_numbers() -> None:
    random = np.random.default_rng(7)
    component = np.concatenate([np.zeros(150, np.int64), random.integers(1, 500, 850)])
    labels = (random.random(1000) < 0.3).astype(np.int8)
    part = dealt(component, labels, 5)
    assert all(len(np.unique(part[component == number])) == 1 for number in np.unique(component))
    assert np.ptp(np.bincount(part)) <= 2
    shares = np.bincount(part, weights=labels) / np.bincount(part)
    assert shares == pytest.approx(labels.mean(), abs=0.06)
    renamed = random.permutation(500)[component]
    assert dealt(renamed, labels, 5).tolist() == part.tolist()


def test_too_little_to_find_weights_on() -> None:
    p = np.random.default_rng(1).random((10, 2))
    with pytest.raises(RunError, match="hang together in one component"):
        cross_fitted(p, np.arange(10, dtype=np.int8) % 2, np.zeros(10, np.int64), "greedy")
    with pytest.raises(RunError, match="too few valid rows of one label"):
        cross_fitted(p, (np.arange(10) == 3).astype(np.int8), np.arange(10), "constrained")
