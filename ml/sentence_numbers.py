"""Sentences of several parts as numbers, exact and normalised, and as arrays of tokens. Called by the leak audit.

Numbers let a million pairs be compared by sorting instead of by sets of strings.
"""

import re
import unicodedata
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml.pairs import Pairs, all_ids, plain

Ints = npt.NDArray[np.int64]
_BLANK = ord(" ")
#: sentences that are spelt at a time
_STRETCH = 50_000
_MOST_NUMBERS = 1 << 25
#: punctuation, blanks, and marks that show nothing; symbols stay: C++ is not C
_KINDS = {"Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Zs", "Zl", "Zp", "Cc", "Cf"}
_TRACES = re.compile(
    "[" + re.escape("".join(filter(lambda c: unicodedata.category(c) in _KINDS, map(chr, range(1 << 16))))) + "]+"
)


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of S sentences one after another: ids of the data, or characters. Sentence s is
    flat_T[offsets[s]:offsets[s + 1]]."""

    flat_T: npt.NDArray[np.uint32]
    offsets: Ints

    @property
    def lengths_S(self) -> Ints:
        """Tokens of each sentence."""
        return np.diff(self.offsets)


@dataclass(frozen=True, slots=True)
class Numbered:
    """Both sides of each part as numbers of sentences (whitespace made plain), and the number of each sentence once it
    is normalised, too: `normal_of[sentence]`. `texts`: the normalised sentences."""

    sides: list[tuple[Ints, Ints]]
    count: int
    normal_of: Ints
    texts: list[str]
    ids: bool

    def normal(self, part: int) -> tuple[Ints, Ints]:
        """Both sides of a part as normalised sentences."""
        a, b = self.sides[part]
        return self.normal_of[a], self.normal_of[b]


def numbered(parts: list[Pairs]) -> Numbered:
    """Number the sentences of all parts together."""
    number_of: dict[str, int] = {}
    sides = []
    for part in parts:
        a, b = (
            np.fromiter((number_of.setdefault(plain(text), len(number_of)) for text in side), np.int64, len(part))
            for side in (part.a, part.b)
        )
        sides.append((a, b))
    ids = all_ids(number_of)
    if ids:
        return Numbered(sides, len(number_of), np.arange(len(number_of)), list(number_of), ids)
    normal_number: dict[str, int] = {}
    normal_of = np.fromiter(
        (normal_number.setdefault(normal(text), len(normal_number)) for text in number_of), np.int64, len(number_of)
    )
    return Numbered(sides, len(number_of), normal_of, list(normal_number), ids)


def normal(text: str) -> str:
    """The text without what typing habits differ in: full width, case, blanks, punctuation. A text of nothing else
    stays as it is, so that two of those are not the same."""
    folded = text if unicodedata.is_normalized("NFKC", text) else unicodedata.normalize("NFKC", text)
    folded = folded.casefold()
    if not folded.isalnum():  # what is has no traces
        folded = _TRACES.sub("", folded)
    return (text if folded == text else folded) or text


def tokens_of(texts: list[str], *, ids: bool) -> Tokens:
    """Ids as numbers of our own; else one token a character. `texts` are plain."""
    if not ids:
        lengths_S = np.fromiter(map(len, texts), np.int64, len(texts))
        flat_T = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
        return Tokens(flat_T, np.concatenate([[0], np.cumsum(lengths_S)]))
    lengths_S = np.fromiter((text.count(" ") + 1 if text else 0 for text in texts), np.int64, len(texts))
    parts = [_spelt(texts[start : start + _STRETCH]) for start in range(0, len(texts), _STRETCH)]
    spelt_T = np.concatenate(parts) if parts else np.empty(0, np.uint64)
    if spelt_T.max(initial=0) >= _MOST_NUMBERS:  # long ids: numbered anew, or tables by number would be huge
        spelt_T = np.unique(spelt_T, return_inverse=True)[1]
    return Tokens(spelt_T.astype(np.uint32), np.concatenate([[0], np.cumsum(lengths_S)]))


def _spelt(texts: list[str]) -> npt.NDArray[np.uint64]:
    """A number for each id of these sentences: its digits in base 11, so that 7 and 07 are two."""
    letters = np.frombuffer((" ".join(filter(None, texts)) + " ").encode("ascii"), np.uint8)
    ends = np.flatnonzero(letters == _BLANK)
    if not len(ends) or ends[0] == 0:
        return np.empty(0, np.uint64)
    starts = np.concatenate([[0], ends[:-1] + 1])
    left = np.repeat(ends, ends - starts + 1) - np.arange(len(letters))  # places to the end of the id
    values = (letters.astype(np.uint64) - np.uint64(47)) * np.power(
        np.uint64(11), np.maximum(left - 1, 0).astype(np.uint64)
    )
    values[ends] = 0
    return np.add.reduceat(values, starts)
