"""Where words begin in encoded texts, for whole-word masking. Called by prepare for a pretrain.

The first token of each sentence always begins a word, and special tokens stand by themselves, so that no word spans
the boundary of a pair.
"""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ml.contract.experiment import PretrainConfig
from ml.encoded import EncodedPairs
from ml.mined_words import Flags, MinedWords, mine
from ml.tokens import Tokens
from ml.words import word_starts

REPORTED = 2000  # words in the report; it says how many there are in all


@dataclass(frozen=True, slots=True)
class WordReport:
    """words.json: what a page shows of the words that masking goes by."""

    source: str
    words: int
    share_of_tokens: float
    rows: list[dict[str, Any]]

    @property
    def content(self) -> dict[str, Any]:
        """Plain values; `shown` says how many of `words` are listed."""
        return {
            "source": self.source,
            "words": self.words,
            "shown": len(self.rows),
            "share_of_tokens_in_words": self.share_of_tokens,
            "most_frequent": self.rows,
        }


def mark_words(
    encoded: EncodedPairs, texts: list[tuple[str, ...]], tokens: Tokens, config: PretrainConfig
) -> tuple[EncodedPairs, WordReport]:
    """`encoded` with begins_T, and the report. `texts`: the sentences of each row, as they were encoded."""
    source = config.words if config.words != "auto" else ("mined" if tokens.unit == "ids" else "jieba")
    special_T = np.isin(encoded.flat_T, tokens.special_ids)
    fresh_T = np.append(True, special_T[:-1]) & ~special_T  # first token of each sentence
    if source == "mined":
        text_T = ~special_T
        mined = mine(encoded.flat_T[text_T].astype(np.int64), fresh_T[text_T], tokens.vocab_size, config)
        begins_T = np.ones(len(encoded.flat_T), dtype=bool)
        begins_T[text_T] = mined.begins(encoded.flat_T[text_T].astype(np.int64), fresh_T[text_T])
        return replace(encoded, begins_T=begins_T), _mined_report(mined, begins_T, tokens)
    begins_T = _jieba_begins(encoded, texts, tokens) | fresh_T | special_T
    return replace(encoded, begins_T=begins_T), _found_report(encoded, begins_T, tokens)


def _jieba_begins(encoded: EncodedPairs, texts: list[tuple[str, ...]], tokens: Tokens) -> Flags:
    """Tokens at whose first character a word of jieba starts; of unit words: tokens that continue nothing."""
    pieces_V = np.zeros(tokens.vocab_size, dtype=bool)
    for token, number in tokens.tokenizer.get_vocab(with_added_tokens=True).items():
        pieces_V[number] = token.startswith("##")
    if tokens.unit == "words":
        return ~pieces_V[encoded.flat_T]
    begins_T = np.zeros(len(encoded.flat_T), dtype=bool)
    starts = {text: word_starts(text) for row in texts for text in row}
    at = 0
    for start in range(0, len(texts), 20_000):
        rows = texts[start : start + 20_000]
        for row, encoding in zip(rows, tokens.tokenizer.encode_batch(list(map(_plain, rows))), strict=True):
            for side, (begin, _) in zip(encoding.sequence_ids, encoding.offsets, strict=True):
                begins_T[at] = side is not None and begin in starts[row[side]]
                at += 1
    return begins_T & ~pieces_V[encoded.flat_T]


def _plain(row: tuple[str, ...]) -> str | tuple[str, ...]:
    return row[0] if len(row) == 1 else row


def _mined_report(mined: MinedWords, begins_T: Flags, tokens: Tokens) -> WordReport:
    rows = [
        {
            "word": _shown(word.ids, tokens),
            "count": word.count,
            "mutual_information": round(word.pmi, 4),
            "boundary_entropy": round(word.entropy, 4),
        }
        for word in mined.words[:REPORTED]
    ]
    return WordReport("mined", len(mined.words), _share(begins_T), rows)


def _found_report(encoded: EncodedPairs, begins_T: Flags, tokens: Tokens) -> WordReport:
    """Words of two tokens or more as they stand in the texts, with their counts."""
    places = np.flatnonzero(begins_T)
    lengths = np.diff(np.append(places, len(begins_T)))
    counts: Counter[tuple[int, ...]] = Counter()
    for place, length in zip(places[lengths > 1].tolist(), lengths[lengths > 1].tolist(), strict=True):
        counts[tuple(encoded.flat_T[place : place + length].tolist())] += 1
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rows = [{"word": _shown(ids, tokens), "count": count} for ids, count in ordered[:REPORTED]]
    return WordReport("jieba", len(counts), _share(begins_T), rows)


def _share(begins_T: Flags) -> float:
    """Share of tokens that stand in a word of two or more."""
    inside = ~begins_T
    heads = np.append(inside[1:], False) & begins_T
    return float(np.mean(inside | heads)) if len(begins_T) else 0.0


def _shown(ids: tuple[int, ...], tokens: Tokens) -> str:
    """A word as people read it: its first token, then ## before each continuation."""
    names = [tokens.tokenizer.id_to_token(number) or str(number) for number in ids]
    return " ".join([names[0], *(f"##{name.removeprefix('##')}" for name in names[1:])])
