"""Words found in ids, words of jieba, and public embeddings by frequency."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BertForMaskedLM

from ml.aligned_embeddings import FREQUENCIES, source_rows
from ml.contract.experiment import ExperimentConfig, PretrainConfig, TokensConfig
from ml.errors import RunError
from ml.mined_words import mine
from ml.pair_model import build_language_model
from ml.pairs import Pairs
from ml.tokens import Tokens, build_tokens
from ml.word_marks import mark_words
from ml.words import character_frequencies, segment
from tests.ml.recipes import CHARACTERS, public_weights

CPU = torch.device("cpu")


def tokens_of(texts: list[str], unit: str = "ids", **more: object) -> Tokens:
    return build_tokens(TokensConfig.model_validate({"min_count": 1, **more}), texts, unit, 64)


def text_with_words(seed: int = 0, sentences: int = 2000) -> list[str]:
    """Random ids in which 90 91 and 70 71 72 always stand together."""
    random = np.random.default_rng(seed)
    made = []
    for _ in range(sentences):
        parts = []
        for _ in range(random.integers(3, 7)):
            draw = random.random()
            if draw < 0.15:
                parts.append("90 91")
            elif draw < 0.3:
                parts.append("70 71 72")
            else:
                parts.append(str(random.integers(10, 60)))
        made.append(" ".join(parts))
    return made


def test_planted_words_are_found_and_no_others() -> None:
    texts = text_with_words()
    tokens = tokens_of(texts)
    encoded = tokens.encode_sentences(texts)
    config = PretrainConfig(masking="whole_word", word_min_pmi=1.8)  # each planted word is a tenth of the text
    marked, report = mark_words(encoded, [(t,) for t in texts], tokens, config)
    assert {row["word"] for row in report.content["most_frequent"]} == {"90 ##91", "70 ##71 ##72"}
    counts = {row["word"]: row["count"] for row in report.content["most_frequent"]}
    assert counts["90 ##91"] == " ".join(texts).split().count("90")
    assert all(row["mutual_information"] >= 1.8 and row["boundary_entropy"] >= 1 for row in report.rows)
    begins = dict.fromkeys(("90", "91", "70", "71", "72", "33"))
    for number in begins:
        places = encoded.flat_T == tokens.tokenizer.token_to_id(number)
        begins[number] = marked.begins_T[places].mean()
    assert begins == {"90": 1, "91": 0, "70": 1, "71": 0, "72": 0, "33": 1}
    assert report.content["words"] == report.content["shown"] == 2
    assert 0.3 < report.content["share_of_tokens_in_words"] < 0.8


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=12), min_size=3, max_size=40))
def test_counts_and_mutual_information_are_the_formulas(sentences: list[list[int]]) -> None:
    flat = np.array([t for s in sentences for t in s], dtype=np.int64)
    fresh = np.array([n == 0 for s in sentences for n in range(len(s))])
    config = PretrainConfig(word_min_count=2, word_min_pmi=0.0, word_min_entropy=0.0, word_max_length=3)
    found = mine(flat, fresh, 10, config)

    def count(ids: tuple[int, ...]) -> int:
        return sum(tuple(s[n : n + len(ids)]) == ids for s in sentences for n in range(len(s)))

    for word in found.words:
        assert word.count == count(word.ids) >= 2
        cuts = [
            np.log(word.count * len(flat) / (count(word.ids[:n]) * count(word.ids[n:])))
            for n in range(1, len(word.ids))
        ]
        assert word.pmi == pytest.approx(min(cuts))
        sides = []
        for side in (-1, 1):
            beside = [
                s[n + side if side < 0 else n + len(word.ids)]
                if 0 <= (n + side if side < 0 else n + len(word.ids)) < len(s)
                else None
                for s in sentences
                for n in range(len(s))
                if tuple(s[n : n + len(word.ids)]) == word.ids
            ]
            shares = np.array([beside.count(x) for x in set(beside)]) / len(beside)
            sides.append(float(-(shares * np.log(shares)).sum()))
        assert word.entropy == pytest.approx(min(sides), abs=1e-9)
    begins = found.begins(flat, fresh)
    assert begins[fresh].all()  # the first token of each sentence begins a word, and no word leaves its sentence


def test_words_of_jieba_on_characters_and_never_across_the_pair() -> None:
    pairs = Pairs(["播放音乐", "今天天气"], ["音乐手机OPPO", "怎么样"], np.zeros(2, np.int8))
    tokens = tokens_of(pairs.a + pairs.b, "characters")
    encoded = tokens.encode(pairs)
    texts = list(zip(pairs.a, pairs.b, strict=True))
    marked, report = mark_words(encoded, texts, tokens, PretrainConfig(masking="whole_word"))
    names = [tokens.tokenizer.id_to_token(n) for n in encoded.flat_T.tolist()]
    told = [name if begins else f"##{name}" for name, begins in zip(names, marked.begins_T.tolist(), strict=True)]
    expected = []
    for row in texts:
        expected.append("[CLS]")
        for text in row:
            for word in segment([text])[0].lower().split():
                expected += [word] if word == "oppo" else [word[0], *(f"##{character}" for character in word[1:])]
            expected.append("[SEP]")
    assert told == expected
    assert any(name.startswith("##") for name in told)
    assert all(" ##" in row["word"] and row["count"] >= 1 for row in report.rows)
    words = tokens_of(["播放 音乐"], "words", min_count=1)
    again, _ = mark_words(words.encode(pairs), texts, words, PretrainConfig(masking="whole_word"))
    assert again.begins_T is not None
    assert again.begins_T.any()


def test_rows_by_frequency_and_specials_keep_theirs(tmp_path: Path) -> None:
    folder = public_weights(tmp_path / "w")
    texts = ["7 7 7 7 7 3 3 3 3 9 9 9"]
    tokens = tokens_of(texts, distinct_unknowns=1)
    (folder / FREQUENCIES).write_text("我\t50\n的\t40\n人\t30\n", encoding="utf-8")
    vocabulary = {line: n for n, line in enumerate((folder / "vocab.txt").read_text("utf-8").splitlines())}
    source = source_rows(folder, tokens)
    assert [int(source[tokens.tokenizer.token_to_id(name)]) for name in ("7", "3", "9")] == [
        vocabulary["我"],
        vocabulary["的"],
        vocabulary["人"],
    ]
    assert source[:5].tolist() == [0, 1, 2, 3, 4]
    assert source[tokens.unknown_ids[0]] == -1

    config = ExperimentConfig.model_validate({"encoder": {"weights": str(folder), "embeddings": "frequency"}})
    model = build_language_model(config, tokens, folder, CPU, 1)
    public = BertForMaskedLM.from_pretrained(folder)
    ours, theirs = (m.get_input_embeddings().weight for m in (model, public))
    assert len(ours) == tokens.vocab_size
    for name, character in (("7", "我"), ("3", "的"), ("9", "人"), ("[CLS]", "[CLS]"), ("[MASK]", "[MASK]")):
        assert torch.equal(ours[tokens.tokenizer.token_to_id(name)], theirs[vocabulary[character]])
    assert model.get_output_embeddings().weight is ours
    assert len(model.cls.predictions.bias) == tokens.vocab_size

    (folder / FREQUENCIES).write_text("我 50\n", encoding="utf-8")
    with pytest.raises(RunError, match=r"frequencies\.tsv line 1: .我 50. is not a token, a tab and a whole count"):
        source_rows(folder, tokens)
    (folder / FREQUENCIES).unlink()  # then jieba's dictionary tells
    counts = character_frequencies()
    first = max(CHARACTERS, key=lambda character: counts[character])
    assert int(source_rows(folder, tokens)[tokens.tokenizer.token_to_id("7")]) == vocabulary[first]
