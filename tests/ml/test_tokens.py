"""The same text gives the same ids, before saving and after, here and in a fresh process."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.contract.experiment import TokensConfig
from ml.errors import RunError
from ml.pairs import Pairs
from ml.tokens import Tokens, build_tokens, load_tokens, public_tokens
from ml.vocabulary import SPECIALS, find_unit

ROOT = Path(__file__).resolve().parents[2]
CHINESE = ["我想听OPPO音乐", "打开oppo手机", "今天天气怎么样", "播放一首音乐", "hello world", "world hello 音乐"] * 3
WORD = st.text(st.sampled_from("我想听音乐天气怎样oOpP xyz[]MASKSEP?？。é1 "), max_size=30)

ROW = st.lists(st.sampled_from(["1", "2", "听", "7", "88", "[MASK]", "\u2028", "\xa03", ""]), max_size=14).map(" ".join)


def pairs_of(texts: list[str]) -> Pairs:
    return Pairs(texts, texts[::-1], np.arange(len(texts), dtype=np.int8) % 2)


def built(unit: str, texts: list[str] = CHINESE, max_length: int = 32, **more: object) -> Tokens:
    config = TokensConfig.model_validate({"unit": unit, **more})
    return build_tokens(config, texts + texts[::-1], find_unit(unit, texts), max_length)


def pieces(tokens: Tokens, a: str, b: str = "") -> list[str]:
    encoded = tokens.encode(Pairs([a], [b], np.array([0], np.int8)))
    return [tokens.tokenizer.id_to_token(number) for number in encoded.flat_T.tolist()]


def test_specials_come_first() -> None:
    for unit in ("ids", "characters", "words"):
        assert built(unit).special_ids == (0, 1, 2, 3, 4)


def test_auto() -> None:
    assert find_unit("auto", ["12 7 9", " 3  4", ""]) == "ids"
    assert find_unit("auto", ["12 7 9", "3 a"]) == "characters"
    assert find_unit("auto", ["", ""]) == "characters"
    assert find_unit("words", ["1 2"]) == "words"


def test_ids() -> None:
    tokens = built("ids", ["12 7 9", "12  7", "7 12 100"], min_count=3)
    assert pieces(tokens, "7 12", "100 7") == ["[CLS]", "7", "12", "[SEP]", "[UNK]", "7", "[SEP]"]
    assert tokens.tokenizer.token_to_id("7") == 6  # as often as 12, which comes before it as text


def test_characters() -> None:
    tokens = built("characters")
    assert pieces(tokens, "听音乐", "OPPO") == ["[CLS]", "听", "音", "乐", "[SEP]", "oppo", "[SEP]"]
    assert "OPPO" not in tokens.tokenizer.get_vocab()
    assert pieces(built("characters", lowercase=False), "OPPO")[1] == "OPPO"


def test_an_unseen_latin_word_falls_to_pieces() -> None:
    assert pieces(built("characters"), "hellop")[1:-2] == ["hello", "##p"]
    assert pieces(built("characters"), "wolp")[1:-2] == ["w", "##o", "##l", "##p"]
    assert pieces(built("characters"), "qqq")[1:-2] == ["[UNK]"]


def test_words() -> None:
    tokens = built("words")
    assert "音乐" in pieces(tokens, "播放音乐")
    assert "[UNK]" not in pieces(tokens, "气天")  # an unseen word of seen characters


def test_specials_in_text_are_text() -> None:
    found = pieces(built("characters"), "音[MASK]乐", "[SEP]")
    assert "[MASK]" not in found
    assert found.count("[SEP]") == 2


def test_vocabulary_is_of_the_texts_and_limited() -> None:
    tokens = build_tokens(TokensConfig(min_count=1), ["1 2", "1 2"], "ids", 16)
    assert set(tokens.tokenizer.get_vocab()) == {*SPECIALS, "1", "2"}
    many = [" ".join(map(str, range(300)))] * 2
    assert build_tokens(TokensConfig(max_vocab_size=100), many, "ids", 16).vocab_size == 100


def test_distinct_unknowns(tmp_path: Path) -> None:
    """The same unknown token is the same placeholder on both sides; beyond the last one they share it."""
    tokens = built("ids", ["1 2 3"] * 3, min_count=2, distinct_unknowns=2)
    tokens.save(tmp_path)
    for one in (tokens, load_tokens(tmp_path)):
        assert pieces(one, "1 88 99", "99 77 88 2") == [
            *("[CLS]", "1", "<unk-0>", "<unk-1>", "[SEP]"),
            *("<unk-1>", "<unk-1>", "<unk-0>", "2", "[SEP]"),
        ]
        assert one.unknown_rate(one.encode(pairs_of(["1 88"]))) == 0.5
    text = built("characters", distinct_unknowns=3)
    assert pieces(text, "听ΩΨ", "Ψ乐Ω")[1:-1] == ["听", "<unk-0>", "[SEP]", "<unk-1>", "乐", "<unk-2>"] or pieces(
        text, "听 Ω Ψ", "Ψ 乐 Ω"
    )[1:-1] == ["听", "<unk-0>", "<unk-1>", "[SEP]", "<unk-1>", "乐", "<unk-0>"]
    assert "<unk-0>" not in pieces(built("ids", ["1 2 3"] * 3, min_count=2), "1 88")


def test_none_left() -> None:
    with pytest.raises(RunError, match="no token is seen 50 times"):
        built("characters", min_count=50)


@pytest.mark.parametrize("unit", ["ids", "characters", "words"])
@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(WORD, WORD), min_size=1, max_size=5))
def test_save_and_load_and_truncate(
    unit: str, tmp_path_factory: pytest.TempPathFactory, texts: list[tuple[str, str]]
) -> None:
    tokens = built(unit, max_length=12)
    folder = tmp_path_factory.mktemp("tokens")
    tokens.save(folder)
    pairs = Pairs([a for a, _ in texts], [b for _, b in texts], np.zeros(len(texts), np.int8))
    ours, theirs = tokens.encode(pairs), load_tokens(folder).encode(pairs)
    for one, two in ((ours.flat_T, theirs.flat_T), (ours.offsets, theirs.offsets), (ours.second_N, theirs.second_N)):
        assert np.array_equal(one, two)
    assert ours.lengths_N.max() <= 12
    for n in range(len(ours)):
        row = ours.flat_T[ours.offsets[n] : ours.offsets[n + 1]]
        assert (row[0], row[-1], row[ours.second_N[n] - 1]) == (2, 3, 3)


@pytest.mark.parametrize("unit", ["ids", "characters"])
@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(ROW, ROW), min_size=1, max_size=5), st.integers(5, 16))
def test_rows_are_those_of_tokenizers(unit: str, texts: list[tuple[str, str]], max_length: int) -> None:
    """Sentences are tokenised alone and put together by arrays: the same ids and types as the saved tokenizer gives."""
    tokens = built(unit, ["1 2 3 4", "听 7 7"] * 2, max_length=max_length)
    pairs = Pairs([a for a, _ in texts], [b for _, b in texts], np.zeros(len(texts), np.int8))
    straight, turned = tokens.encode_both_ways(pairs, turned=True)
    alone = tokens.encode_sentences(pairs.a)
    assert turned is not None
    for n, (a, b) in enumerate(texts):
        for ours, theirs in (
            (straight, tokens.tokenizer.encode(a, b)),
            (turned, tokens.tokenizer.encode(b, a)),
            (alone, tokens.tokenizer.encode(a)),
        ):
            assert ours.flat_T[ours.offsets[n] : ours.offsets[n + 1]].tolist() == theirs.ids
            assert ours.second_N[n] == len(theirs.ids) - sum(theirs.type_ids)


def test_a_separator_that_only_python_divides_at() -> None:
    tokens = built("ids", ["1 2 3"] * 3)
    assert pieces(tokens, "1 2\x1c3", "\x1f 1")[1:-1] == ["1", "[UNK]", "[SEP]", "[UNK]", "1"]


def test_longest_sentence_is_cut_first() -> None:
    tokens = built("ids", ["1 2 3 4 5 6 7 8 9 10"] * 2, max_length=9)
    assert pieces(tokens, "1 2", "1 2 3 4 5 6 7 8") == ["[CLS]", "1", "2", "[SEP]", "1", "2", "3", "4", "[SEP]"]


def test_a_fresh_process_gives_the_same_ids(tmp_path: Path) -> None:
    tokens = built("words")
    tokens.save(tmp_path)
    ours = tokens.encode(pairs_of(CHINESE)).flat_T.tolist()
    code = (
        "import sys; from pathlib import Path; import numpy as np; from ml.pairs import Pairs; from ml.tokens import "
        "load_tokens; t = sys.argv[2:]; p = Pairs(t, t[::-1], np.zeros(len(t), np.int8));"
        "print(load_tokens(Path(sys.argv[1])).encode(p).flat_T.tolist())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path, *CHINESE], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == str(ours)


def test_selected_rows_in_the_order_asked() -> None:
    tokens = built("characters")
    pairs = pairs_of(CHINESE)
    whole, some = tokens.encode(pairs), tokens.encode(pairs, np.array([4, 1]))
    assert some.flat_T[: some.offsets[1]].tolist() == whole.flat_T[whole.offsets[4] : whole.offsets[5]].tolist()
    assert len(some) == 2


def test_a_public_vocabulary(tmp_path: Path) -> None:
    words = [*SPECIALS, *"我想听音乐天气打开手机播放一首今怎么样", "hello", "world", "oppo"]
    (tmp_path / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    tokens = public_tokens(tmp_path, TokensConfig(), pairs_of(CHINESE), 32)
    assert pieces(tokens, "听OPPO") == ["[CLS]", "听", "oppo", "[SEP]", "[SEP]"]
    with pytest.raises(RunError, match=r"100% of the train tokens are unknown .* start from scratch"):
        public_tokens(tmp_path, TokensConfig(), pairs_of(["1 2 3", "4 5 6"]), 32)
    (tmp_path / "vocab.txt").unlink()
    with pytest.raises(RunError, match="has no vocabulary: put its vocab"):
        public_tokens(tmp_path, TokensConfig(), pairs_of(CHINESE), 32)
