"""Token ids as arrays: of sentences, and of the pairs put together from them. Filled by tokens, read by batches.

Sentences are tokenised alone and joined to rows here, which is the same and lets every row be made without a loop.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml.pairs import Rows

_BLOCK = 50_000  # rows put together at once: bounds the memory of the index arrays


@dataclass(frozen=True, slots=True)
class Sentences:
    """Token ids of N sentences, end to end, without special tokens. Ids below 0 are unknown texts: -1 the first one
    that was met, -2 the next."""

    flat_T: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]  # N + 1


@dataclass(frozen=True, slots=True)
class EncodedPairs:
    """Token ids of N pairs, end to end. Row n is flat_T[offsets[n]:offsets[n + 1]]; its second sentence (token type
    1) begins at place second_N[n] of the row."""

    flat_T: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]  # N + 1
    second_N: npt.NDArray[np.int32]  # of a single sentence: its length
    begins_T: npt.NDArray[np.bool_] | None = None  # whether a token begins a word; None: nobody asked for words

    def __len__(self) -> int:
        return len(self.second_N)

    @property
    def lengths_N(self) -> npt.NDArray[np.int64]:
        """Tokens of each row, special ones counted."""
        return np.diff(self.offsets)

    def padded(self, rows: Rows, width: int, pad_id: int) -> tuple[npt.NDArray[np.int64], ...]:
        """ids_BL, types_BL (1: second sentence), real_BL (0: padding) of `rows`, gathered without a loop over them."""
        starts_B = self.offsets[rows]
        place_L = np.arange(width)
        real_BL = place_L < (self.offsets[rows + 1] - starts_B)[:, None]
        source_BL = np.where(real_BL, starts_B[:, None] + place_L, 0)
        ids_BL = np.where(real_BL, self.flat_T[source_BL], pad_id).astype(np.int64)
        types_BL = (real_BL & (place_L >= self.second_N[rows][:, None])).astype(np.int64)
        return ids_BL, types_BL, real_BL.astype(np.int64)

    def first(self, rows: int) -> "EncodedPairs":
        """The first `rows` of these, in the same memory."""
        end = self.offsets[rows]
        begins_T = None if self.begins_T is None else self.begins_T[:end]
        return EncodedPairs(self.flat_T[:end], self.offsets[: rows + 1], self.second_N[:rows], begins_T)

    def joined(self, other: "EncodedPairs") -> "EncodedPairs":
        """These rows, then the other's."""
        return EncodedPairs(
            np.concatenate([self.flat_T, other.flat_T]),
            np.concatenate([self.offsets, other.offsets[1:] + self.offsets[-1]]),
            np.concatenate([self.second_N, other.second_N]),
            None
            if self.begins_T is None or other.begins_T is None
            else np.concatenate([self.begins_T, other.begins_T]),
        )


def longest_first(first_N: Rows, second_N: Rows, room: int) -> tuple[Rows, Rows]:
    """How many tokens of both sentences of a row stay when it has room for `room` (N each).

    The longer one loses tokens until both are as long, then both lose (tokenizers' strategy longest_first): the odd
    token stays with the longer one, and of two that are as long with the second.
    """
    short_N, long_N = np.minimum(first_N, second_N), np.maximum(first_N, second_N)
    long_N = np.where(short_N + long_N > room, np.maximum(short_N, room - short_N), long_N)
    over_N = short_N + long_N > room
    short_N, long_N = np.where(over_N, room // 2, short_N), np.where(over_N, room - room // 2, long_N)
    turned_N = first_N > second_N
    return np.where(turned_N, long_N, short_N), np.where(turned_N, short_N, long_N)


def assemble(
    first: Sentences,
    second: Sentences | None,
    max_length: int,
    special_ids: tuple[int, int],
    unknown_ids: tuple[int, ...] = (),
) -> EncodedPairs:
    """`[CLS] a [SEP] b [SEP]`, or `[CLS] a [SEP]` without `second`, cut to `max_length`.

    special_ids: of [CLS] and [SEP]. unknown_ids: what stands for the first, second, ... unknown text of a row; the
    last one stands for all further.
    """
    rows = len(first.offsets) - 1
    kept = [np.diff(first.offsets)]
    if second is None:
        kept[0] = np.minimum(kept[0], max_length - 2)
    else:
        kept = [*longest_first(kept[0], np.diff(second.offsets), max_length - 3)]
    lengths_N = sum(kept) + len(kept) + 1
    offsets = np.concatenate(([0], np.cumsum(lengths_N, dtype=np.int64)))
    cls, sep = special_ids
    flat_T = np.full(int(offsets[-1]), sep, dtype=np.int32)
    flat_T[offsets[:-1]] = cls
    for start in range(0, rows, _BLOCK):
        block = slice(start, start + _BLOCK)
        to_N = offsets[:-1][block] + 1
        _copy(flat_T, to_N, first.flat_T, first.offsets[:-1][block], kept[0][block])
        if second is not None:
            _copy(flat_T, to_N + kept[0][block] + 1, second.flat_T, second.offsets[:-1][block], kept[1][block])
    if unknown_ids:
        _name_unknowns(flat_T, offsets, np.array(unknown_ids, np.int32))
    return EncodedPairs(flat_T, offsets, (kept[0] + 2).astype(np.int32))


def _copy(
    to_T: npt.NDArray[np.int32], to_N: Rows, from_T: npt.NDArray[np.int32], from_N: Rows, lengths_N: Rows
) -> None:
    """lengths_N[n] values from from_T[from_N[n]:] to to_T[to_N[n]:], of all n at once."""
    before_N = np.cumsum(lengths_N) - lengths_N
    step_T = np.arange(int(lengths_N.sum()))
    to_T[np.repeat(to_N - before_N, lengths_N) + step_T] = from_T[np.repeat(from_N - before_N, lengths_N) + step_T]


def _name_unknowns(flat_T: npt.NDArray[np.int32], offsets: Rows, unknown_ids: npt.NDArray[np.int32]) -> None:
    """Put the i-th placeholder for the i-th different unknown text (an id below 0) of a row, in place."""
    places = np.flatnonzero(flat_T < 0)
    if not len(places):
        return
    row_of = np.searchsorted(offsets, places, "right") - 1
    texts = int(-flat_T[places].min()) + 1
    found, first, which = np.unique(row_of * texts - flat_T[places], return_index=True, return_inverse=True)
    order = np.argsort(first)  # of first meeting, so rows stand together and ascend
    rows = found[order] // texts
    begins = np.flatnonzero(np.concatenate(([True], rows[1:] != rows[:-1])))
    rank = np.arange(len(rows)) - np.repeat(begins, np.diff(np.append(begins, len(rows))))
    number = np.empty(len(found), np.int64)
    number[order] = np.minimum(rank, len(unknown_ids) - 1)
    flat_T[places] = unknown_ids[number[which]]
