"""What a blend gains, on simulations whose truth is known."""

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm, rankdata, spearmanr
from sklearn.metrics import roc_auc_score

from app.significance import blend_numbers
from app.significance.blend_numbers import Asked, MethodNumbers, Numbers, numbers
from app.significance.choosing import clustered_bootstrap
from ml.contract.fusion_config import METHODS

#: quick ones, for many draws
FORMULAS = ("rank_mean", "logit_mean")


def drawn(rng: np.random.Generator, rows: int, effects: list[float], correlation: float = 0.0) -> Asked:
    """Binormal members: of logit(p) the AUC is Phi(effect / sqrt 2); their errors are as alike as `correlation`."""
    labels = np.zeros(rows, bool)
    labels[: round(0.4 * rows)] = True
    common, own = rng.standard_normal(rows), rng.standard_normal((len(effects), rows))
    scores = np.array(effects)[:, None] * labels + np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own
    return Asked((str(rng.random()),), labels, expit(scores), np.arange(rows))


def judged(asked: Asked) -> Numbers:
    """Without the cache, which would keep every draw."""
    return numbers.__wrapped__(asked)


def of(found: Numbers, method: str) -> MethodNumbers:
    return next(item for item in found.methods if item.method == method)


def auc_of(effect: float, noise: float = 1.0) -> float:
    return float(norm.cdf(effect / np.sqrt(2 * noise)))


def test_errors_of_their_own_gain_what_theory_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean of two equally good members with independent errors has half the noise. The gain is told over the
    better of the two by these rows, which flatters that one: by as much as is said."""
    monkeypatch.setattr(blend_numbers, "METHODS", FORMULAS)
    rng, gains, said = np.random.default_rng(0), [], []
    for _ in range(400):
        found = judged(drawn(rng, 400, [1.0, 1.0]))
        gain = of(found, "logit_mean").gain
        assert gain is not None
        gains.append(gain.value)
        said.append(found.optimism_of_member)
    truth = auc_of(1.0, 0.5) - auc_of(1.0)
    assert np.mean(gains) + np.mean(said) == pytest.approx(truth, abs=0.004)
    assert np.mean(gains) > 0.9 * truth - np.mean(said)


@pytest.fixture
def formulas_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blend_numbers, "METHODS", FORMULAS)
    monkeypatch.setattr(blend_numbers, "optimism", lambda _found: 0.0)


def covered(rows: int, effects: list[float], correlation: float, draws: int) -> float:
    """How often the interval of logit_mean's gain holds the true gain over the member that is named as the best."""
    rng, held = np.random.default_rng(rows), 0
    mixed = auc_of(sum(effects) / 2, (1 + correlation) / 2)
    for _ in range(draws):
        found = judged(drawn(rng, rows, effects, correlation))
        gain = of(found, "logit_mean").gain
        assert gain is not None
        held += gain.low <= mixed - auc_of(effects[found.best]) <= gain.high
    return held / draws


@pytest.mark.usefixtures("formulas_alone")
def test_where_nothing_is_gained_the_interval_holds_nothing() -> None:
    """A second member that is just so much worse that the mean of both is as good as the first alone."""
    effect, correlation = 1.5, 0.3
    second = effect * (np.sqrt(2 * (1 + correlation)) - 1)
    assert auc_of((effect + second) / 2, (1 + correlation) / 2) == pytest.approx(auc_of(effect))
    assert 0.93 <= covered(120, [effect, second], correlation, draws=2000) <= 0.97


@pytest.mark.usefixtures("formulas_alone")
def test_a_gain_that_is_there_is_covered() -> None:
    assert 0.93 <= covered(300, [1.6, 1.0], 0.0, draws=800) <= 0.97


def test_weights_that_are_found_claim_no_gain_of_noise() -> None:
    """Eight members that know nothing beside a good one: fitted and judged on the same rows they would gain."""
    rng, gains = np.random.default_rng(6), {method: [] for method in ("weights", "greedy", "constrained")}
    draws = 60
    for _ in range(draws):
        found = judged(drawn(rng, 150, [1.2, *[0.0] * 8]))
        for method, told in gains.items():
            gain = of(found, method).gain
            assert gain is not None
            told.append(gain)
    for method, told in gains.items():
        assert sum(gain.low > 0 for gain in told) <= 0.05 * draws, method
        assert np.mean([gain.value for gain in told]) < 0.001, method


def test_identical_members_gain_nothing_at_all() -> None:
    asked = drawn(np.random.default_rng(7), 200, [1.0])
    twice = Asked(("twins",), asked.labels_N, np.repeat(asked.probabilities_MN, 2, axis=0), asked.component_N)
    found = judged(twice)
    for item in found.methods:
        if item.method != "weights":  # its constant and weights differ from part to part
            assert item.gain is not None
            assert (item.gain.value, item.gain.low, item.gain.high) == pytest.approx((0, 0, 0), abs=1e-9)
            assert item.gain.p == pytest.approx(1)
    assert found.errors == [pytest.approx([1, 1])] * 2
    assert found.optimism_of_member == pytest.approx(0, abs=1e-3)  # simulated


def test_what_a_member_adds() -> None:
    """Of three with independent errors each adds the same; one that knows nothing takes away."""
    rng = np.random.default_rng(8)
    found = judged(drawn(rng, 20_000, [1.0, 1.0, 1.0]))
    truth = float(norm.cdf(np.sqrt(3 / 2)) - norm.cdf(1))
    assert [gap.value for gap in found.adds] == pytest.approx([truth] * 3, abs=0.006)
    assert all(gap.low > 0 for gap in found.adds)
    found = judged(drawn(rng, 5000, [1.0, 1.0, 0.0]))
    assert found.adds[2].high < 0


def test_every_method_is_what_it_says() -> None:
    asked = drawn(np.random.default_rng(9), 600, [1.2, 1.0, 0.8], 0.4)
    found = judged(asked)
    assert [item.method for item in found.methods] == list(METHODS)
    for item in found.methods:
        assert item.auc is not None
        assert item.gain is not None
        assert item.auc[1] < item.auc[0] < item.auc[2]
        assert item.gain.value == pytest.approx(item.auc[0] - found.auc[found.best][0])
        assert item.gain.low < item.gain.value < item.gain.high
    ranks = rankdata(asked.probabilities_MN, axis=1)
    mean_of_ranks = of(found, "rank_mean").auc
    assert mean_of_ranks is not None
    assert mean_of_ranks[0] == pytest.approx(roc_auc_score(asked.labels_N, ranks.mean(0)))
    assert of(found, "mean").weights is None
    for method in ("greedy", "constrained"):
        shares = of(found, method).weights
        assert shares is not None
        assert sum(shares) == pytest.approx(1)
    assert found.errors == [pytest.approx(row) for row in np.corrcoef(asked.labels_N - asked.probabilities_MN)]
    assert found.ranks == [pytest.approx(row) for row in spearmanr(asked.probabilities_MN, axis=1).statistic]
    assert 0 <= found.optimism_of_method < found.optimism_of_member < 0.02


def test_components_count_as_one_draw_and_resampling_agrees() -> None:
    """Each component three times: the rows are three times as many, the evidence is not."""
    asked = drawn(np.random.default_rng(10), 300, [1.3, 1.0])
    tripled = Asked(
        ("tripled",), np.tile(asked.labels_N, 3), np.tile(asked.probabilities_MN, 3), np.tile(asked.component_N, 3)
    )
    one, three = (of(judged(item), "logit_mean").gain for item in (asked, tripled))
    assert one is not None
    assert three is not None
    assert three.high - three.low == pytest.approx(one.high - one.low, rel=0.05)
    mixed = expit(np.log(asked.probabilities_MN / (1 - asked.probabilities_MN)).mean(0))
    scores = np.stack([mixed, asked.probabilities_MN[0]])
    drawn_DK = clustered_bootstrap(asked.labels_N, scores, asked.component_N)
    low, high = np.quantile(drawn_DK[:, 0] - drawn_DK[:, 1], (0.025, 0.975))
    assert (one.low, one.high) == pytest.approx((low, high), abs=0.01)


def test_what_can_not_be_found_is_said_and_the_rest_stands() -> None:
    asked = drawn(np.random.default_rng(11), 12, [1.0, 1.0])
    labels = np.arange(12) == 5
    found = judged(Asked(("one",), labels, asked.probabilities_MN, np.arange(12)))
    assert {item.method: item.why for item in found.methods if item.why} == dict.fromkeys(
        ("weights", "greedy", "constrained"), "too few valid rows of one label to find weights"
    )
    assert of(found, "mean").gain is not None
    constant = np.stack([asked.probabilities_MN[0], np.full(12, 0.5)])
    assert judged(Asked(("c",), labels, constant, np.arange(12))).ranks[0][1] is None
    with pytest.raises(ValueError, match="an AUC needs both"):
        judged(Asked(("none",), np.zeros(12, bool), asked.probabilities_MN, np.arange(12)))


def test_the_same_files_are_counted_once() -> None:
    asked = drawn(np.random.default_rng(12), 100, [1.0, 1.0])
    again = Asked(asked.key, asked.labels_N.copy(), asked.probabilities_MN.copy(), asked.component_N.copy())
    assert numbers(asked) is numbers(again)
