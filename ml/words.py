"""Chinese words by jieba: for unit `words` (called by tokens) and for whole-word masking (word_marks)."""

import logging
import tempfile
import warnings
from functools import cache
from types import ModuleType


@cache
def _jieba() -> ModuleType:
    """jieba with its dictionary loaded: about a second. Its cache goes to a private folder, which is then removed:
    in the shared temp folder it is written with mode 600, and another user's run could not open it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # jieba 0.42 imports pkg_resources and has invalid escapes
        import jieba
    jieba.setLogLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="pairboard-jieba-") as private:
        jieba.dt.tmp_dir = private
        jieba.initialize()
    return jieba


def segment(texts: list[str]) -> list[str]:
    """Each text as its words (jieba.lcut), divided by single spaces. A text that comes twice is cut once."""
    jieba = _jieba()
    cut = {text: " ".join(word for word in jieba.lcut(text) if not word.isspace()) for text in set(texts)}
    return [cut[text] for text in texts]


def word_starts(text: str) -> set[int]:
    """Places in `text` (characters, from 0) at which a word of jieba starts."""
    starts, at = set(), 0
    for word in _jieba().lcut(text):
        starts.add(at)
        at += len(word)
    return starts


def character_frequencies() -> dict[str, int]:
    """How often each character stands in jieba's dictionary, each word with its count in jieba's corpus."""
    counts: dict[str, int] = {}
    for word, count in _jieba().dt.FREQ.items():
        for character in word if count else "":
            counts[character] = counts.get(character, 0) + count
    return counts
