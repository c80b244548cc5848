"""A planted leak is caught, an honest split is not flagged: on real data, and on generated for bare machines."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ml.audit import answer, parts
from ml.augment import augment
from ml.contract.experiment import AugmentConfig, DataConfig
from ml.contract.leaks import AuditAsk, AuditFile, Check, LeakReport
from ml.contract.pair_file import PairFileLayout, PairRow, read_rows, sniff
from ml.leaks import Part, at_least, audit
from ml.pairs import Pairs
from ml.sentence_numbers import Ints
from ml.split import make_split

LETTERS = "天气怎么样打开关闭音乐导航回家提醒我明天早上播放下载删除联系妈妈电话短信拍照日历地图城市北京上海热冷雨雪"


def generated(rows: int = 3000, seed: int = 1) -> Pairs:
    """Sentences of 4 to 12 characters, every third in two pairs, a third of the labels 1."""
    draw = random.Random(seed)

    def sentence() -> str:
        return "".join(draw.choice(LETTERS) + chr(0x4E00 + draw.randrange(2000)) for _ in range(draw.randint(2, 6)))

    a = [sentence() for _ in range(rows)]
    b = [a[draw.randrange(rows)] if draw.random() < 0.15 else sentence() for _ in range(rows)]
    return Pairs(a, b, np.array([int(draw.random() < 0.35) for _ in range(rows)], np.int8))


def read(path: Path) -> Pairs:
    rows = [row for row in read_rows(path, sniff(path, "train"), "train") if isinstance(row, PairRow)]
    return Pairs([row.a for row in rows], [row.b for row in rows], np.array([row.label for row in rows], np.int8))


@pytest.fixture(params=["generated", "xiaobu/labelled.tsv", "zh_ids/xiaobu_labelled.tsv"])
def pairs(request: pytest.FixtureRequest) -> Pairs:
    """Of each kind; the files only where they are."""
    if request.param == "generated":
        return generated()
    shared: Path = request.getfixturevalue("shared_data")
    return read(shared / request.param)


def divided(pairs: Pairs, train: Ints, valid: Ints, *, more: Pairs | None = None) -> LeakReport:
    """The audit of these rows; `more` is learnt beside."""
    learnt = pairs.only(train)
    if more is not None:
        labels = np.concatenate([learnt.labels_N, more.labels_N])
        learnt = Pairs(learnt.a + more.a, learnt.b + more.b, labels)
    lines = np.concatenate([train + 1, np.zeros(len(learnt) - len(train), np.int64)])
    return audit(Part(learnt, lines), Part(pairs.only(valid), valid + 1), train_rows=len(train))


def check(report: LeakReport, name: str) -> Check:
    return next(item for item in report.checks if item.name == name)


def flagged(report: LeakReport) -> set[str]:
    drifts = {item.name for item in report.drifts if item.level == "suspicious"}
    return drifts | {item.name for item in report.checks if item.level in {"suspicious", "leaking"}}


def safe(pairs: Pairs, seed: int = 42) -> tuple[Ints, Ints]:
    split = make_split(pairs, DataConfig(split_seed=seed))
    return split.train_rows, split.valid_rows


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_a_component_safe_split_is_clean(pairs: Pairs, seed: int) -> None:
    report = divided(pairs, *safe(pairs, seed))
    assert report.verdict == "clean", flagged(report)
    assert all(check(report, name).count == 0 for name in ("exact", "swapped", "sentences", "components", "closure"))


def test_rows_at_random_share_sentences(pairs: Pairs) -> None:
    split = make_split(pairs, DataConfig(split_by="row"))
    report = divided(pairs, split.train_rows, split.valid_rows)
    assert report.verdict == "leaking"
    assert {"sentences", "components"} <= flagged(report)
    trained = {text for rows in (pairs.only(split.train_rows),) for side in (rows.a, rows.b) for text in side}
    held = pairs.only(split.valid_rows)
    truth = sum(a in trained or b in trained for a, b in zip(held.a, held.b, strict=True))
    assert check(report, "sentences").count == truth
    worst = check(report, "sentences").examples[0]
    assert worst.line is not None
    assert worst.train_line is not None
    assert pairs.a[worst.line - 1] == worst.a
    assert {worst.a, worst.b} & {pairs.a[worst.train_line - 1], pairs.b[worst.train_line - 1]}


def test_closure_before_the_split_gives_answers_away(pairs: Pairs) -> None:
    before = AugmentConfig(swap="copies", closure_positives=True, closure_negatives=True, augment_before_split=True)
    made = augment(pairs, before, 1).pairs
    split = make_split(made, DataConfig(split_by="row"))
    train, valid = parts(made, made.only(split.train_rows), split, np.arange(len(pairs)) + 1)
    report = audit(train, valid)
    assert report.verdict == "leaking"
    assert {"swapped", "sentences"} <= flagged(report)
    alone = augment(pairs, before.model_copy(update={"swap": "none"}), 1).pairs
    split = make_split(alone, DataConfig(split_by="row"))
    report = audit(*parts(alone, alone.only(split.train_rows), split, np.arange(len(pairs)) + 1))
    assert "closure" in flagged(report)
    assert any(item.line is None or item.train_line is None for one in report.checks for item in one.examples)


def planted(pairs: Pairs, change: Callable[[str, str], tuple[str, str]], share: float = 0.05) -> LeakReport:
    """A component-safe split, and `share` of its valid rows, changed, among what is learnt."""
    train, valid = safe(pairs)
    some = valid[: max(1, round(share * len(valid)))]
    changed = [change(pairs.a[row], pairs.b[row]) for row in some.tolist()]
    more = Pairs([a for a, _ in changed], [b for _, b in changed], pairs.labels_N[some])
    return divided(pairs, train, valid, more=more)


def test_swapped_duplicates(pairs: Pairs) -> None:
    report = planted(pairs, lambda a, b: (b, a))
    assert "swapped" in flagged(report)
    assert check(report, "swapped").count == check(report, "swapped").second == round(0.05 * report.valid_rows)
    assert check(report, "exact").count == 0


def test_exact_duplicates(pairs: Pairs) -> None:
    report = planted(pairs, lambda a, b: (a, b), 0.002)
    assert check(report, "exact").level == "suspicious"
    assert check(planted(pairs, lambda a, b: (a, b)), "exact").level == "leaking"


@pytest.mark.parametrize("sides", ["first", "second", "both"])
@pytest.mark.parametrize("how", ["changed", "added", "left out"])
def test_near_duplicates_by_one_token(pairs: Pairs, sides: str, how: str) -> None:
    draw = random.Random(3)
    ids = pairs.a[0].replace(" ", "").isdigit()

    def one_off(text: str) -> str:
        tokens = text.split() if ids else list(text)
        place = draw.randrange(len(tokens))
        if how == "left out" and len(tokens) > 5:
            del tokens[place]
        elif how == "added":
            tokens.insert(place, "99123" if ids else "鑫")
        else:
            tokens[place] = "99123" if ids else "鑫"
        return (" " if ids else "").join(tokens)

    def change(a: str, b: str) -> tuple[str, str]:
        return (one_off(a) if sides != "second" else a, one_off(b) if sides != "first" else b)

    report = planted(pairs, change)
    assert "near" in flagged(report)
    assert report.verdict == "leaking"


def test_duplicates_that_are_written_otherwise() -> None:
    pairs = generated()
    wide = str.maketrans("abc", "ａｂｃ")
    mixed = Pairs([f"abc{text}" for text in pairs.a], pairs.b, pairs.labels_N)
    report = planted(mixed, lambda a, b: (b + "？", a.upper().translate(wide) + " 。"))
    assert check(report, "normalised").level == "leaking"
    assert check(report, "exact").count == check(report, "swapped").count == 0


def test_long_sentences_that_share_most_of_their_words() -> None:
    pairs = generated()
    long = Pairs([text * 4 + str(n) * 8 for n, text in enumerate(pairs.a)], pairs.b, pairs.labels_N)
    report = planted(long, lambda a, b: ("鑫森" + a[2:-2] + "淼", b), 0.1)
    assert check(report, "near").level == "leaking"


def test_valid_is_contradicted_and_training_contradicts_itself() -> None:
    labels = np.array([1, 1, 0, 1, 0], np.int8)
    train = Part(Pairs(["a1", "b1", "a1", "x1", "q"], ["b1", "c1", "c1", "y1", "r"], labels), np.arange(5) + 1)
    valid = Part(Pairs(["x1", "c1", "n"], ["y1", "a1", "m"], np.array([0, 0, 1], np.int8)), np.arange(3) + 1)
    report = audit(train, valid)
    assert [item.line for item in check(report, "contradictions").examples] == [3]
    assert {item.line for item in check(report, "contradicted").examples} == {1}
    assert check(report, "swapped").second == 1


def test_the_label_that_training_implies() -> None:
    train = Pairs(["a", "b", "c", "k"], ["b", "c", "z", "l"], np.array([1, 1, 0, 1], np.int8))
    valid = Pairs(["c", "a", "z", "k"], ["a", "z", "k", "m"], np.array([1, 0, 0, 1], np.int8))
    report = audit(Part(train, np.arange(4) + 1), Part(valid, np.arange(4) + 1))
    found = check(report, "closure")
    assert [item.line for item in found.examples] == [1, 2]
    assert (found.count, found.second) == (2, 2)


def test_drift_is_found_where_it_is_and_only_there() -> None:
    pairs = generated(4000)
    train, valid = safe(pairs)
    assert not flagged(divided(pairs, train, valid))
    positive = valid[(pairs.labels_N[valid] == 1) | (valid % 3 == 0)]
    assert flagged(divided(pairs, train, positive)) == {"prior"}
    longer = Pairs([f"{text}以及其他" for text in pairs.a], pairs.b, pairs.labels_N)
    both = Pairs(pairs.a + longer.a, pairs.b + longer.b, np.concatenate([pairs.labels_N] * 2))
    assert "length" in flagged(divided(both, train, valid + len(pairs)))
    foreign = str.maketrans({letter: chr(0xAC00 + n) for n, letter in enumerate(LETTERS)})
    other = Pairs([text.translate(foreign) for text in pairs.a], pairs.b, pairs.labels_N)
    both = Pairs(pairs.a + other.a, pairs.b + other.b, np.concatenate([pairs.labels_N] * 2))
    assert "vocabulary" in flagged(divided(both, train, valid + len(pairs)))


def test_chance_alone_rarely_looks_like_drift() -> None:
    """Rows that come in components of eight with one label each: of 200 honest splits p is below 0.05 in about 10."""
    low = 0
    for seed in range(200):
        draw = np.random.default_rng(seed)
        hub = np.repeat(np.arange(100), 8)
        labels = np.repeat(draw.random(100) < 0.4, 8).astype(np.int8)
        pairs = Pairs([f"h{n}" for n in hub], [f"{n} {n}" for n in range(800)], labels)
        held = draw.permutation(100)[:30]
        valid = np.flatnonzero(np.isin(hub, held))
        report = divided(pairs, np.flatnonzero(~np.isin(hub, held)), valid)
        p = next(item.p for item in report.drifts if item.name == "prior")
        assert p is not None
        low += p < 0.05
    assert 2 <= low <= 24


def test_wilson_is_as_in_the_book() -> None:
    assert at_least(10, 100) == pytest.approx(0.0613, abs=1e-3)  # 1927, one-sided 95%
    assert at_least(0, 50) == pytest.approx(0, abs=1e-12)
    assert at_least(0, 0) == 0


def test_two_files_and_a_test_file(tmp_path: Path) -> None:
    pairs = generated(300)
    rows = [f"{a}\t{b}\t{label}\n" for a, b, label in zip(pairs.a, pairs.b, pairs.labels_N, strict=True)]
    for name, lines in {
        "train.tsv": ["q1\tq2\tlabel\n", *rows[:200]],
        "valid.tsv": rows[190:],
        "test.tsv": [line.rpartition("\t")[0] + "\n" for line in rows[:30]],
    }.items():
        (tmp_path / name).write_text("".join(lines), encoding="utf-8")
    layout = PairFileLayout(columns=3, label_column=2)
    files = {
        "train": AuditFile(
            path=str(tmp_path / "train.tsv"), name="t", layout=layout.model_copy(update={"header": True})
        ),
        "valid": AuditFile(path=str(tmp_path / "valid.tsv"), name="v", layout=layout),
        "test": AuditFile(path=str(tmp_path / "test.tsv"), name="x", layout=PairFileLayout(columns=2)),
    }
    report = answer(AuditAsk(**files)).report
    assert report is not None
    assert check(report, "exact").count == 10
    assert (check(report, "exact").examples[0].line, check(report, "exact").examples[0].train_line) == (1, 192)
    assert (check(report, "test_pairs").count, check(report, "test_pairs").level) == (30, "info")
    assert {item.between for item in report.drifts} == {"train and valid", "train and test", "valid and test"}
    refused = answer(AuditAsk(train=files["train"], data=DataConfig(folds=3), fold=3))
    assert refused.report is None
    assert "fold 3 of 3" in refused.error
