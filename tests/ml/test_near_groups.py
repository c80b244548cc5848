"""A split by twins passes the audit with no near pair across, and its cost grows with the rows."""

import random
import time
from pathlib import Path

import numpy as np
import pytest

from ml.contract.experiment import DataConfig
from ml.near_groups import near_groups
from ml.pairs import Pairs
from ml.prepare import _joined
from ml.split import components_of, make_split
from tests.ml.test_leaks import check, divided, generated, read

NONE_ACROSS = ("exact", "swapped", "normalised", "near", "sentences", "components", "closure", "written_otherwise")


def with_twins(pairs: Pairs, share: float = 0.3, seed: int = 5) -> Pairs:
    """A share of the rows once more, each with one token changed, added or left out, or written otherwise; some
    turned."""
    draw, a, b, labels = random.Random(seed), list(pairs.a), list(pairs.b), pairs.labels_N.tolist()

    def changed(text: str) -> str:
        units = text.split() if text[0].isdigit() else list(text)
        place, kind = draw.randrange(len(units)), draw.randrange(3)
        new = "4711" if text[0].isdigit() else "龘"
        units = [*units[:place], *([] if kind == 0 else [new]), *units[place + (kind != 2) :]]
        return (" " if text[0].isdigit() else "").join(units)

    for row in draw.sample(range(len(pairs)), round(share * len(pairs))):
        sides = changed(pairs.a[row]), changed(pairs.b[row]) if draw.random() < 0.5 else pairs.b[row]
        if not all(sides):
            continue
        first, second = sides[::-1] if draw.random() < 0.5 else sides
        a, b, labels = [*a, first], [*b, second], [*labels, pairs.labels_N[row]]
    return Pairs(a, b, np.array(labels, np.int8))


@pytest.mark.parametrize("source", ["generated", "xiaobu/labelled.tsv", "zh_ids/xiaobu_labelled.tsv", "lcqmc/dev.tsv"])
def test_no_twin_is_across(source: str, request: pytest.FixtureRequest) -> None:
    if source == "generated":
        plain = generated(2000)
    else:
        shared: Path = request.getfixturevalue("shared_data")
        plain = read(shared / source)
    pairs = with_twins(plain)
    by_component = make_split(pairs, DataConfig(split_seed=3))
    assert check(divided(pairs, by_component.train_rows, by_component.valid_rows), "near").level == "leaking"
    split = make_split(pairs, DataConfig(split_by="twins", split_seed=3))
    report = divided(pairs, split.train_rows, split.valid_rows)
    assert {name: check(report, name).count for name in NONE_ACROSS} == dict.fromkeys(NONE_ACROSS, 0)
    assert report.verdict == "clean"
    assert abs(len(split.valid_rows) - 0.1 * len(pairs)) <= 0.01 * len(pairs)
    assert split.groups is not None
    assert not split.groups.giant
    assert split.groups.groups < split.groups.components


def test_groups_are_unions_of_components() -> None:
    pairs = with_twins(generated(1000))
    group_N, component_N = near_groups(pairs), components_of(pairs)
    for component in range(int(component_N.max()) + 1):
        assert len(np.unique(group_N[component_N == component])) == 1
    alone = generated(1000)
    assert int(near_groups(alone).max()) == int(components_of(alone).max()), "without twins nothing is joined"


def test_what_is_joined() -> None:
    rows = [
        ("今天天气怎么样", "明天天气如何"),
        ("明天天气如何", "今日天气怎么样"),  # turned, one token changed
        ("打开空调好吗", "把窗户关上吧"),
        ("打开空调好吗。", "播放一首歌曲"),  # one sentence, written otherwise
        ("打开电视好吗", "关掉厨房的灯"),  # near the third in one side alone
        ("好的", "行吧"),
        ("好啊", "行吧"),
    ]
    pairs = Pairs([a for a, _ in rows], [b for _, b in rows], np.zeros(len(rows), np.int8))
    group_N = near_groups(pairs).tolist()
    assert group_N[0] == group_N[1]
    assert group_N[2] == group_N[3]
    assert len({group_N[0], group_N[2], group_N[4], group_N[5]}) == 4
    assert group_N[5] == group_N[6], "they share a sentence; two tokens are too few to be near"


def test_a_giant_is_said() -> None:
    """A template with another name in it, 400 times, makes one group of them."""
    names = [chr(0x4E00 + n) for n in range(400)]
    rest = generated(600)
    pairs = Pairs(
        [f"给{name}打电话" for name in names] + rest.a,
        [f"呼叫一下{name}吧" for name in names] + rest.b,
        np.array([n % 2 for n in range(400)] + rest.labels_N.tolist(), np.int8),
    )
    split = make_split(pairs, DataConfig(split_by="twins"))
    assert split.groups is not None
    assert (split.groups.largest, split.groups.largest_component < 100, split.groups.giant) == (400, True, True)
    assert set(range(400)) <= set(split.train_rows.tolist()), "it stays in train"
    told, level = _joined(split.groups)
    assert (level, "400 of 1000 rows" in told, "a giant" in told) == ("warning", True, True)


def test_a_template_costs_no_more_than_its_rows() -> None:
    """One in which every pair resembles every other: comparing them would take half a billion comparisons."""
    rows = 32_000
    pairs = Pairs(
        [f"10 11 {n + 100} 12 13 14" for n in range(rows)],
        [f"20 21 22 {n + 100} 23 24" for n in range(rows)],
        np.arange(rows, dtype=np.int8) % 2,
    )
    begin = time.process_time()
    assert int(near_groups(pairs).max()) == 0
    assert time.process_time() - begin < 10


def test_long_sentences_that_share_most() -> None:
    """Two tokens apart, so that no one-token form of them is the same; no sentence is shared."""
    words = [f"{100 + n}" for n in range(40)]
    a = [" ".join([*words[:n], "7", *words[n + 1 :]]) for n in (5, 20)] + ["1 2 3 4"]
    labels = np.zeros(3, np.int8)
    near = near_groups(Pairs(a, ["30 31 32 33 34", "30 31 99 33 34", "5 6 7 8"], labels)).tolist()
    assert (near[0] == near[1], near[0] == near[2]) == (True, False)
    apart = near_groups(Pairs(a, ["30 31 32 33 34", "40 41 42 43 44", "5 6 7 8"], labels)).tolist()
    assert len(set(apart)) == 3, "both sides have to be near"
