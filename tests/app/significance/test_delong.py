"""The noise of AUCs, on simulations whose truth is known."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from app.significance.choosing import clustered_bootstrap, mcnemar, optimism, tiers
from app.significance.delong import Aucs, aucs, difference, holm, interval

DRAWS = 2000


def _drawn(rng, count, effects, correlation=0.9, share=0.36):
    """Binormal scores of K rows: AUC_k = Phi(effect_k / sqrt 2), the noise of the rows correlated."""
    labels = np.zeros(count, bool)
    labels[: round(share * count)] = True
    common = rng.standard_normal(count) * np.sqrt(correlation)
    own = rng.standard_normal((len(effects), count)) * np.sqrt(1 - correlation)
    return labels, common + own + np.array(effects)[:, None] * labels


def _effect(auc):
    return np.sqrt(2) * norm.ppf(auc)


def _clustered(rng, clusters, size, effects, correlation=0.9, together=0.7):
    """The same where the pairs of a component err together; about a third of the pairs of each are positive."""
    labels = rng.random(clusters * size) < 0.36
    of = np.repeat(np.arange(clusters), size)

    def noise(rows):
        shared = rng.standard_normal((rows, clusters))[:, of] * np.sqrt(together)
        return shared + rng.standard_normal((rows, clusters * size)) * np.sqrt(1 - together)

    scores = noise(1) * np.sqrt(correlation) + noise(len(effects)) * np.sqrt(1 - correlation)
    return labels, scores + np.array(effects)[:, None] * labels, of


def test_the_auc_is_scikit_learns_with_ties_by_half() -> None:
    rng = np.random.default_rng(0)
    labels = rng.random(300) < 0.4
    scores = rng.integers(0, 12, size=(3, 300)) / 11
    found = aucs(labels, scores)
    assert found.auc_K == pytest.approx([roc_auc_score(labels, row) for row in scores], abs=1e-12)


def test_the_covariance_is_that_of_the_definition() -> None:
    """DeLong's sums written out, pair by pair."""
    rng = np.random.default_rng(1)
    labels, scores = _drawn(rng, 40, [0.5, 1.5])
    above = (scores[:, labels][:, :, None] > scores[:, ~labels][:, None, :]).astype(float)
    of_ones, of_zeros = above.mean(axis=2), above.mean(axis=1)
    expected = np.cov(of_ones) / of_ones.shape[1] + np.cov(of_zeros) / of_zeros.shape[1]
    assert aucs(labels, scores).covariance_KK == pytest.approx(expected, abs=1e-12)


def test_components_of_one_pair_change_nothing_to_speak_of() -> None:
    labels, scores = _drawn(np.random.default_rng(2), 500, [1.0, 1.2])
    plain, each = aucs(labels, scores), aucs(labels, scores, np.arange(500))
    assert each.covariance_KK == pytest.approx(plain.covariance_KK, rel=0.01)


def test_a_repeated_pair_is_no_new_draw() -> None:
    labels, scores = _drawn(np.random.default_rng(3), 300, [1.0, 1.2])
    twice = aucs(np.tile(labels, 2), np.tile(scores, 2), np.tile(np.arange(300), 2))
    assert twice.covariance_KK == pytest.approx(aucs(labels, scores, np.arange(300)).covariance_KK, rel=1e-9)


@pytest.mark.parametrize("auc", [0.7, 0.95])
def test_95_of_100_intervals_hold_the_truth(auc: float) -> None:
    rng, covered = np.random.default_rng(4), 0
    for _ in range(DRAWS):
        labels, scores = _drawn(rng, 300, [_effect(auc)])
        found = aucs(labels, scores)
        low, high = interval(found.auc_K[0], found.covariance_KK[0, 0])
        covered += low <= auc <= high
    assert 0.93 <= covered / DRAWS <= 0.97


def test_95_of_100_intervals_hold_the_truth_when_components_err_together() -> None:
    rng, covered, naive = np.random.default_rng(5), 0, 0
    for _ in range(DRAWS):
        labels, scores, of = _clustered(rng, 100, 5, [_effect(0.85)])
        for clusters in (of, None):
            found = aucs(labels, scores, clusters)
            low, high = interval(found.auc_K[0], found.covariance_KK[0, 0])
            covered += clusters is not None and low <= 0.85 <= high
            naive += clusters is None and low <= 0.85 <= high
    assert 0.93 <= covered / DRAWS <= 0.97
    assert naive < covered, "the same without components claims more than it knows"


@pytest.mark.parametrize("clustered", [False, True])
def test_a_difference_that_is_none_is_found_in_5_of_100(clustered: bool) -> None:
    rng, found = np.random.default_rng(6), 0
    for _ in range(DRAWS):
        if clustered:
            labels, scores, of = _clustered(rng, 100, 4, [1.5, 1.5])
        else:
            (labels, scores), of = _drawn(rng, 400, [1.5, 1.5]), None
        found += difference(aucs(labels, scores, of), 0, 1)[2] < 0.05
    assert 0.03 <= found / DRAWS <= 0.07


def test_a_hundredth_of_auc_is_found_among_2000_pairs() -> None:
    rng, found = np.random.default_rng(7), 0
    for _ in range(200):
        labels, scores = _drawn(rng, 2000, [_effect(0.92), _effect(0.91)])
        found += difference(aucs(labels, scores), 0, 1)[2] < 0.05
    assert found >= 160


def test_rows_that_differ_by_their_seed_alone_stay_together() -> None:
    rng, together = np.random.default_rng(8), 0
    for _ in range(200):
        labels, scores, of = _clustered(rng, 300, 3, [1.6, 1.6])
        together += tiers(aucs(labels, scores, of)) == [0, 0]
    assert together >= 186


def test_tiers_part_where_noise_no_longer_explains_it() -> None:
    labels, scores = _drawn(np.random.default_rng(9), 4000, [_effect(auc) for auc in (0.80, 0.90, 0.899, 0.801)])
    assert tiers(aucs(labels, scores)) == [1, 0, 0, 1]


def test_many_equal_rows_are_one_tier_in_95_of_100() -> None:
    """Holm holds the chance of any false parting, however many rows stand there."""
    rng, one = np.random.default_rng(10), 0
    for _ in range(300):
        labels, scores = _drawn(rng, 500, [1.5] * 12)
        one += max(tiers(aucs(labels, scores))) == 0
    assert one >= 0.8 * 300  # the leader is the luckiest of the twelve, so somewhat fewer than 95


def test_the_same_ranking_differs_by_nothing() -> None:
    labels, scores = _drawn(np.random.default_rng(11), 100, [1.0])
    found = aucs(labels, np.vstack([scores[0], np.exp(scores[0])]))
    assert difference(found, 0, 1) == (0.0, 0.0, 1.0)


def test_perfect_rows_have_no_logit() -> None:
    labels = np.array([True, True, False, False])
    found = aucs(labels, np.array([[4.0, 3, 2, 1]]))
    assert interval(float(found.auc_K[0]), float(found.covariance_KK[0, 0])) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("labels", "scores", "clusters", "said"),
    [
        ([True, True], [[0.1, 0.2]], None, "2 positives and 0 negatives"),
        ([True, False], [[0.1, float("nan")]], None, "not a number"),
        ([True, False], [[0.1, 0.2]], [3, 3], "one component"),
    ],
)
def test_what_has_no_noise_is_refused(labels, scores, clusters, said) -> None:
    with pytest.raises(ValueError, match=said):
        aucs(np.array(labels), np.array(scores), None if clusters is None else np.array(clusters))


def test_holm_by_hand() -> None:
    assert holm(np.array([0.01, 0.04, 0.03])) == pytest.approx([0.03, 0.06, 0.06])
    assert holm(np.array([])).tolist() == []


def test_the_bootstrap_spreads_as_the_formula_says() -> None:
    labels, scores, of = _clustered(np.random.default_rng(12), 200, 4, [1.2, 1.4])
    drawn = clustered_bootstrap(labels, scores, of, draws=1500)
    assert np.cov(drawn.T) == pytest.approx(aucs(labels, scores, of).covariance_KK, rel=0.15)
    assert drawn[0, 0] != drawn[1, 0]
    assert (drawn == clustered_bootstrap(labels, scores, of, draws=1500)).all(), "seeded"


def test_the_bootstrap_counts_ties_by_half_and_whole_components() -> None:
    labels, scores = np.array([True, False, True, False]), np.array([[0.5, 0.5, 0.9, 0.1]])
    drawn = clustered_bootstrap(labels, scores, np.array([0, 0, 1, 1]), draws=50)
    assert set(drawn[:, 0]) == {0.5, 0.875, 1.0}


def test_optimism_is_what_choosing_flatters_by() -> None:
    """Rows that are truly equal, and rows that truly differ: what is estimated from each draw is right on average."""
    for effects in ([1.5] * 20, list(np.linspace(1.2, 1.8, 20))):
        rng, said, real = np.random.default_rng(13), [], []
        truth = norm.cdf(np.array(effects) / np.sqrt(2))
        for _ in range(150):
            labels, scores = _drawn(rng, 400, effects, correlation=0.8)
            found = aucs(labels, scores)
            said.append(optimism(found, draws=500))
            best = int(np.argmax(found.auc_K))
            real.append(found.auc_K[best] - truth[best])
        assert np.mean(said) == pytest.approx(np.mean(real), abs=0.0025)


def test_choosing_among_one_flatters_nothing() -> None:
    assert optimism(Aucs(np.array([0.9]), np.array([[1e-4]]))) == 0.0


def test_mcnemar_by_hand() -> None:
    first = np.array([True] * 8 + [False] * 2 + [True] * 5)
    second = np.array([False] * 8 + [True] * 2 + [True] * 5)
    assert mcnemar(first, second) == pytest.approx(0.109375)
    assert mcnemar(first, first) == 1.0
