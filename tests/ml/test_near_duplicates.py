"""Near pairs are found exactly as an honest, slow search finds them; sentences are normalised as promised."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.leak_limits import LIMITS
from ml.near_duplicates import twins
from ml.pairs import Pairs
from ml.sentence_numbers import normal, numbered, tokens_of
from ml.text_keys import shingles

SENTENCE = st.text("abc", min_size=1, max_size=7)
PAIRS = st.lists(st.tuples(SENTENCE, SENTENCE), min_size=1, max_size=25)


def one_token_away(one: str, other: str) -> bool:
    """Or the same; by trying everything."""
    if one == other:
        return True
    if min(len(one), len(other)) < LIMITS.shortest_near or abs(len(one) - len(other)) > 1:
        return False
    if len(one) == len(other):
        return sum(x != y for x, y in zip(one, other, strict=True)) == 1
    short, long = sorted((one, other), key=len)
    return any(long[:n] + long[n + 1 :] == short for n in range(len(long)))


def near(one: tuple[str, str], other: tuple[str, str]) -> int | None:
    """In how many sides they differ, in the better order; None: they are not near."""
    ways = []
    for a, b in (other, other[::-1]):
        if one_token_away(one[0], a) and one_token_away(one[1], b):
            ways.append((one[0] != a) + (one[1] != b))
    return min(ways, default=None)


@settings(max_examples=300, deadline=None)
@given(PAIRS, PAIRS)
def test_as_a_slow_search_finds_them(base: list[tuple[str, str]], asked: list[tuple[str, str]]) -> None:
    made = [Pairs([a for a, _ in rows], [b for _, b in rows], np.zeros(len(rows), np.int8)) for rows in (base, asked)]
    numbers = numbered(made)
    found = twins(tokens_of(numbers.texts, ids=numbers.ids), numbers.normal(0), numbers.normal(1))
    for row, pair in enumerate(asked):
        ways = [near(pair, other) for other in base]
        best = min((way for way in ways if way is not None), default=None)
        behind = int(found.row_N[row])
        assert (behind >= 0) == (best is not None)
        if best is not None:
            assert found.differing_N[row] == best == ways[behind]


def test_shingles_have_the_similarity_of_sets() -> None:
    texts = ["abcdabcd", "abcdxbcd"]
    owner, key = shingles(tokens_of(texts, ids=False), np.arange(2))
    ours = [set(key[owner == n].tolist()) for n in range(2)]
    truth = [{text[n : n + 2] for n in range(len(text) - 1)} for text in texts]
    assert [len(item) for item in ours] == [len(item) for item in truth]
    assert len(ours[0] & ours[1]) == len(truth[0] & truth[1])


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("ＯＰＰＯ　手机, 怎么？", "oppo手机怎么"),
        ("Straße", "strasse"),
        ("C++ 怎么学!", "c++怎么学"),
        ("？？", "？？"),
        ("👍", "👍"),
        ("ﬁle\u200b", "file"),
        ("你好", "你好"),
    ],
)
def test_normalised(text: str, plain: str) -> None:
    assert normal(text) == plain


def test_ids_are_told_apart_by_their_digits() -> None:
    texts = ["7 07 7", "12", "70 7", str(10**30) + " 7"]
    tokens = tokens_of(texts, ids=True)
    flat = [tokens.flat_T[tokens.offsets[n] : tokens.offsets[n + 1]].tolist() for n in range(4)]
    assert flat[0][0] == flat[0][2] == flat[2][1] == flat[3][1]
    assert len({flat[0][0], flat[0][1], flat[1][0], flat[2][0], flat[3][0]}) == 5
