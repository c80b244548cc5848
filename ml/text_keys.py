"""64-bit keys of sentences: two that share a key are nearly the same. Called by near_duplicates.

Every token has a random number, every place a random odd factor; a sentence is the sum of their products modulo 2^64
(multilinear hashing), so that what is left of it without one token is a subtraction away. No key is kept: a chance
collision among a hundred million has a probability of about 3e-4, and would add one row to a count.
"""

import numpy as np
import numpy.typing as npt

from ml.sentence_numbers import Ints, Tokens

Keys = npt.NDArray[np.uint64]
#: shingles: runs of so many tokens (Broder 1997)
SHINGLE = 2
#: MinHash: bands of rows. Two sentences with a Jaccard similarity of 0.8 meet in a band with a probability of 0.998,
#: two with 0.9 almost surely, two with 0.3 in 4 of 100 cases
BANDS, ROWS = 16, 5
_LONGEST = 1 << 10
_SEED = 20_21
_random = np.random.default_rng(_SEED)
_FACTORS = _random.integers(0, 1 << 63, _LONGEST, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
_MIX = _random.integers(0, 1 << 63, (2, BANDS * ROWS), dtype=np.uint64) * np.uint64(2) + np.uint64(1)
_STEP = np.uint64(0x9E3779B97F4A7C15)


def mixed(values: Keys) -> Keys:
    """Each value spread over 64 bits (the finalizer of splitmix64)."""
    values = values + _STEP
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def spread(tokens: Tokens, chosen_C: Ints) -> tuple[Ints, Ints, Ints, Keys]:
    """The tokens of the chosen sentences one after another: number in `chosen_C`, place in the sentence, the first
    token of each sentence in this row, and each token's random number."""
    lengths_C = tokens.lengths_S[chosen_C]
    starts_C = np.cumsum(lengths_C) - lengths_C
    owner_T = np.repeat(np.arange(len(chosen_C)), lengths_C)
    place_T = np.arange(len(owner_T)) - starts_C[owner_T]
    values_T = tokens.flat_T[tokens.offsets[chosen_C][owner_T] + place_T]
    return owner_T, place_T, starts_C, mixed(values_T.astype(np.uint64))


def one_off(tokens: Tokens, chosen_C: Ints) -> tuple[Ints, Keys, Keys, Keys]:
    """For sentences of 1 to 1,000 tokens: the number in `chosen_C` and the place are those of each token in turn.

    Returns (owner_T, masked_T, deleted_T, whole_C). `masked_T`: the sentence with this token masked; equal in two
    sentences that differ in this token alone. `deleted_T`: the sentence without this token; `whole_C`: the sentence;
    equal when one becomes the other by leaving a token out. (The deletion neighbourhood of SymSpell, Garbe 2012, told
    apart by place: no candidate needs to be verified.)
    """
    owner_T, place_T, starts_C, value_T = spread(tokens, chosen_C)
    here_T = value_T * _FACTORS[place_T]
    before_T = value_T * _FACTORS[np.maximum(place_T - 1, 0)]  # what it weighs once a token before it is gone
    whole_C = np.add.reduceat(here_T, starts_C) if len(starts_C) else here_T
    upto_T, moved_T = np.cumsum(here_T), np.cumsum(before_T)
    ends_C = starts_C + tokens.lengths_S[chosen_C] - 1
    left_T = upto_T - here_T - (upto_T[starts_C] - here_T[starts_C])[owner_T]
    right_T = moved_T[ends_C][owner_T] - moved_T
    masked_T = mixed((whole_C[owner_T] - here_T) ^ mixed(place_T.astype(np.uint64)))
    return owner_T, masked_T, left_T + right_T, whole_C


def shingles(tokens: Tokens, chosen_C: Ints) -> tuple[Ints, Keys]:
    """Every shingle of the chosen sentences (of SHINGLE tokens or more), once a sentence: owner and key, by owner."""
    owner_T, place_T, _starts, value_T = spread(tokens, chosen_C)
    key_T = value_T.copy()
    for step in range(1, SHINGLE):
        key_T[:-step] = key_T[:-step] * _FACTORS[step] + value_T[step:]
    inside_T = place_T + SHINGLE <= tokens.lengths_S[chosen_C][owner_T]
    owner_K, key_K = owner_T[inside_T], mixed(key_T[inside_T])
    order = np.lexsort((key_K, owner_K))
    owner_K, key_K = owner_K[order], key_K[order]
    fresh = np.ones(len(key_K), bool)
    fresh[1:] = (owner_K[1:] != owner_K[:-1]) | (key_K[1:] != key_K[:-1])
    return owner_K[fresh], key_K[fresh]


def bands(owner_K: Ints, key_K: Keys, count: int) -> Keys:
    """MinHash signatures of `count` sentences, folded to one key a band, shape (BANDS, count)."""
    starts_C = np.searchsorted(owner_K, np.arange(count))
    found = np.zeros((BANDS, count), np.uint64)
    for band in range(BANDS):
        for row in range(band * ROWS, (band + 1) * ROWS):
            permuted_K = (key_K ^ (key_K >> np.uint64(29))) * _MIX[0, row] + _MIX[1, row]
            lowest_C = np.minimum.reduceat(permuted_K, starts_C)
            found[band] = found[band] * _STEP + lowest_C
        found[band] = mixed(found[band] + np.uint64(band))
    return found
