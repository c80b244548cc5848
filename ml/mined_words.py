"""Words of a language nobody can read: token sequences that stand together more often than by chance. For whole-word
masking on anonymised ids; called by word_marks.

Unsupervised word discovery by frequency, pointwise mutual information and boundary entropy (Zhang et al. 2000; Jin and
Tanaka-Ishii 2006): a sequence is a word if it is frequent, its parts cannot be cut anywhere without losing mutual
information, and what stands left and right of it is hard to guess.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml.contract.experiment import PretrainConfig

Ids = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class MinedWord:
    """A word of two tokens or more. `pmi` and `entropy` are in nats, the smallest over cuts and over sides."""

    ids: tuple[int, ...]
    count: int
    pmi: float
    entropy: float


@dataclass(frozen=True, slots=True)
class MinedWords:
    """Words by falling count, ready to find in texts. Keys of `by_length`: tokens of a word; values: sorted keys."""

    words: list[MinedWord]
    vocab_size: int
    by_length: dict[int, Ids]

    def begins(self, flat_T: Ids, fresh_T: Flags) -> Flags:
        """Whether each token begins a word: forward maximum matching, each sentence by itself.

        flat_T: sentences laid flat; fresh_T: true at each sentence's first token.
        """
        found_T = _longest_at(self, flat_T, fresh_T)
        begins_T = np.zeros(len(flat_T), dtype=bool)
        cursors_S = np.flatnonzero(fresh_T)
        ends_S = np.append(cursors_S[1:], len(flat_T))
        while len(cursors_S):  # one step a word, all sentences at once
            begins_T[cursors_S] = True
            cursors_S = cursors_S + found_T[cursors_S]
            going_on = cursors_S < ends_S
            cursors_S, ends_S = cursors_S[going_on], ends_S[going_on]
        return begins_T


def mine(flat_T: Ids, fresh_T: Flags, vocab_size: int, config: PretrainConfig) -> MinedWords:
    """Words of the sentences in `flat_T`, by config's word_min_count, word_min_pmi, word_min_entropy, word_max_length.

    Time is that of sorting the tokens once a length; word_max_length 4 keeps a sequence in one 64-bit key.
    """
    counts: dict[int, dict[int, int]] = {}
    for length in range(1, config.word_max_length + 1):
        keys, numbers = np.unique(_keys(flat_T, fresh_T, vocab_size, length)[0], return_counts=True)
        counts[length] = dict(zip(keys.tolist(), numbers.tolist(), strict=True))
    words: list[MinedWord] = []
    for length in range(2, config.word_max_length + 1):
        left, right = _entropies(flat_T, fresh_T, vocab_size, length, config.word_min_count)
        for key, count in counts[length].items():
            if count < config.word_min_count:
                continue
            entropy = min(left.get(key, 0.0), right.get(key, 0.0))
            pmi = _weakest_cut(key, length, count, counts, vocab_size, len(flat_T))
            if pmi >= config.word_min_pmi and entropy >= config.word_min_entropy:
                words.append(MinedWord(_ids_of(key, length, vocab_size), count, pmi, entropy))
    words.sort(key=lambda word: (-word.count, word.ids))
    by_length = {
        length: np.array(sorted(_key_of(w.ids, vocab_size) for w in words if len(w.ids) == length), dtype=np.int64)
        for length in range(2, config.word_max_length + 1)
    }
    return MinedWords(words, vocab_size, by_length)


def _keys(flat_T: Ids, fresh_T: Flags, vocab_size: int, length: int) -> tuple[Ids, Ids]:
    """(key, place) of every sequence of `length` tokens inside one sentence."""
    sentence_T = np.cumsum(fresh_T)
    starts = np.arange(max(0, len(flat_T) - length + 1))
    starts = starts[sentence_T[starts] == sentence_T[starts + length - 1]]
    keys = np.zeros(len(starts), dtype=np.int64)
    for step in range(length):
        keys = keys * vocab_size + flat_T[starts + step]
    return keys, starts


def _entropies(
    flat_T: Ids, fresh_T: Flags, vocab_size: int, length: int, least: int
) -> tuple[dict[int, float], dict[int, float]]:
    """Entropy in nats of the token before and after each frequent sequence; a sentence's end is a token of its own."""
    keys, starts = _keys(flat_T, fresh_T, vocab_size, length)
    known, inverse, numbers = np.unique(keys, return_inverse=True, return_counts=True)
    frequent = numbers[inverse] >= least
    last_T = np.append(fresh_T[1:], True)
    found = []
    for places, edge_T, step in ((starts, fresh_T, -1), (starts + length - 1, last_T, 1)):
        beside = flat_T[np.clip(places + step, 0, len(flat_T) - 1)]
        neighbours = np.where(edge_T[places], vocab_size, beside)
        pairs, times = np.unique(inverse[frequent] * (vocab_size + 1) + neighbours[frequent], return_counts=True)
        word = pairs // (vocab_size + 1)
        share = times / numbers[word]
        sums = np.bincount(word, weights=-share * np.log(share), minlength=len(known))
        found.append(dict(zip(known.tolist(), sums.tolist(), strict=True)))
    return found[0], found[1]


def _weakest_cut(
    key: int, length: int, count: int, counts: dict[int, dict[int, int]], vocab_size: int, total: int
) -> float:
    """Smallest pointwise mutual information over all ways to cut the sequence in two: ln p(xy) / (p(x) p(y))."""
    weakest = np.inf
    for cut in range(1, length):
        base = vocab_size ** (length - cut)
        left, right = counts[cut][key // base], counts[length - cut][key % base]
        weakest = min(weakest, np.log(count * total / (left * right)))
    return float(weakest)


def _ids_of(key: int, length: int, vocab_size: int) -> tuple[int, ...]:
    ids = []
    for _ in range(length):
        key, last = divmod(key, vocab_size)
        ids.append(last)
    return tuple(reversed(ids))


def _key_of(ids: tuple[int, ...], vocab_size: int) -> int:
    key = 0
    for number in ids:
        key = key * vocab_size + number
    return key


def _longest_at(mined: MinedWords, flat_T: Ids, fresh_T: Flags) -> Ids:
    """Length of the longest word that starts at each token; 1 where none does."""
    longest_T = np.ones(len(flat_T), dtype=np.int64)
    for length, words in sorted(mined.by_length.items()):
        if len(words):
            keys, starts = _keys(flat_T, fresh_T, mined.vocab_size, length)
            longest_T[starts[np.isin(keys, words)]] = length
    return longest_T
