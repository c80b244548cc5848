"""Builds a tokenizer from the training part of a run. Called by tokens; the counting is done in Rust.

ids: whitespace divides, one id one token. characters: a Chinese character is a token, a Latin word is a token or
falls to pieces. words: jieba's words, which fall to pieces (characters and their ## continuations) when rare.
"""

from collections import Counter
from typing import Literal

import numpy as np
from tokenizers import Tokenizer
from tokenizers.models import WordLevel, WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer, WhitespaceSplit
from tokenizers.trainers import WordLevelTrainer

from ml.contract.experiment import TokensConfig
from ml.errors import RunError
from ml.pairs import all_ids

Unit = Literal["ids", "characters", "words"]
UNKNOWN = "[UNK]"
SPECIALS = ("[PAD]", UNKNOWN, "[CLS]", "[SEP]", "[MASK]")  # their ids are 0..4


def find_unit(asked: Literal["auto", "ids", "characters", "words"], sentences: list[str]) -> Unit:
    """What `auto` means for these train sentences: ids if each is digits and whitespace, else characters."""
    if asked != "auto":
        return asked
    return "ids" if all_ids(sentences) else "characters"


def build(unit: Unit, config: TokensConfig, texts: list[str]) -> Tokenizer:
    """A tokenizer whose vocabulary is of `texts` (words: already cut, see words.segment).

    The most frequent tokens with `min_count` or more, at most `max_vocab_size` with the five special ones; equal
    counts are ordered by the token itself, so that the same file gives the same ids. Raises RunError if none is left.
    """
    if unit == "ids" and divides_alike(texts):
        counts: dict[str, int] = Counter(word for text in texts for word in text.split())
    else:
        counts = _count_units(_shell(unit, config.lowercase, WordLevel(unk_token=UNKNOWN)), texts)
    if unit != "ids":
        counts = _with_pieces(counts)
    frequent = sorted((-count, token) for token, count in counts.items() if count >= config.min_count)
    tokens = [token for _, token in frequent if token not in SPECIALS][: config.max_vocab_size - len(SPECIALS)]
    if not tokens:
        raise RunError(f"no token is seen {config.min_count} times in the training part: lower min_count")
    vocab = {token: number for number, token in enumerate((*SPECIALS, *tokens))}
    model = (
        WordLevel(vocab, unk_token=UNKNOWN)
        if unit == "ids"
        else WordPiece(vocab, unk_token=UNKNOWN, continuing_subword_prefix="##", max_input_chars_per_word=100)
    )
    tokenizer = _shell(unit, config.lowercase, model)
    tokenizer.add_special_tokens(list(SPECIALS))
    return tokenizer


def divides_alike(texts: list[str]) -> bool:
    """Whether str.split and tokenizers' WhitespaceSplit divide `texts` alike: four separators (U+001C to U+001F) are
    whitespace to Python and not to Unicode."""
    together = "\n".join(texts)
    return not any(mark in together for mark in "\x1c\x1d\x1e\x1f")


def _shell(unit: Unit, lowercase: bool, model: WordLevel | WordPiece) -> Tokenizer:
    """The way to units, around `model`."""
    tokenizer = Tokenizer(model)
    if unit != "ids":
        # strip_accents False: lower case only, or a pinyin tone mark would vanish
        tokenizer.normalizer = BertNormalizer(
            clean_text=True, handle_chinese_chars=unit == "characters", strip_accents=False, lowercase=lowercase
        )
    tokenizer.pre_tokenizer = BertPreTokenizer() if unit == "characters" else WhitespaceSplit()
    return tokenizer


def _count_units(shell: Tokenizer, texts: list[str]) -> dict[str, int]:
    """How often each unit stands in `texts`: a first pass names them all, a second one counts their numbers."""
    shell.train_from_iterator(texts, WordLevelTrainer(min_frequency=1, vocab_size=2**31 - 1, show_progress=False))
    counts_V = np.zeros(shell.get_vocab_size(), dtype=np.int64)
    for start in range(0, len(texts), 20_000):
        numbers = [number for e in shell.encode_batch_fast(texts[start : start + 20_000]) for number in e.ids]
        counts_V += np.bincount(numbers, minlength=len(counts_V)).astype(np.int64)
    return {token: int(counts_V[number]) for token, number in shell.get_vocab().items()}


def _with_pieces(units: dict[str, int]) -> dict[str, int]:
    """Units, and the pieces that unseen words fall to: each character, and ##character if it ever stands in a
    longer unit. A lone Chinese character needs no continuation, so it gets no second row."""
    characters: Counter[str] = Counter()
    joined: Counter[str] = Counter()
    for unit, count in units.items():
        for character in unit:
            characters[character] += count
            if len(unit) > 1:
                joined[f"##{character}"] += count
    return {**joined, **characters, **units, **{c: n for c, n in characters.items() if c in units}}
