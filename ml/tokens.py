"""Text to token ids and back from disk: `[CLS] a [SEP] b [SEP]`, longest sentence cut first. Called by run and verify.

A tokenizer is built on the training part (vocabulary), or read from a finished pretrain, or from a local folder of
public weights. Whatever it came from, it is saved as tokenizer.json + tokens.json and read back to the same ids.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer
from tokenizers.processors import TemplateProcessing

from ml.contract.experiment import TokensConfig
from ml.errors import RunError
from ml.pairs import Pairs, Rows
from ml.vocabulary import SPECIALS, Unit, build, find_unit
from ml.words import segment

FILES = ("tokenizer.json", "tokenizer_config.json", "tokens.json")
MOST_UNKNOWN = 0.3  # share of tokens; above it the vocabulary is of another language or of another anonymisation
_BATCH = 20_000  # rows handed to Rust at once: bounds the memory of its Encoding objects


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


@dataclass(frozen=True, slots=True)
class Tokens:
    """A tokenizer, the unit it works in, and the ids of its special tokens."""

    tokenizer: Tokenizer
    unit: Unit
    max_length: int
    special_ids: tuple[int, ...]  # in the order of SPECIALS
    unknown_ids: tuple[int, ...] = ()  # of <unk-0>, <unk-1>, ...

    @property
    def vocab_size(self) -> int:
        """Rows that the embedding needs."""
        return max(self.tokenizer.get_vocab(with_added_tokens=True).values()) + 1

    def encode(self, pairs: Pairs, rows: Rows | None = None) -> EncodedPairs:
        """Token ids of `rows` of `pairs`, in that order; of all rows when None."""
        numbers = range(len(pairs)) if rows is None else rows.tolist()
        return self._encode([pairs.a[n] for n in numbers], [pairs.b[n] for n in numbers])

    def encode_sentences(self, sentences: list[str]) -> EncodedPairs:
        """Token ids of single sentences, `[CLS] a [SEP]`."""
        return self._encode(sentences, None)

    def _encode(self, a: list[str], b: list[str] | None) -> EncodedPairs:
        if self.unit == "words":
            a, b = segment(a), None if b is None else segment(b)
        flat: list[npt.NDArray[np.int32]] = [np.empty(0, np.int32)]
        lengths: list[int] = []
        second: list[int] = []
        for start in range(0, len(a), _BATCH):
            texts = a[start : start + _BATCH]
            batch = texts if b is None else list(zip(texts, b[start : start + _BATCH], strict=True))
            # encode_batch_fast drops character offsets; they are only needed to tell unknown tokens apart
            encodings = (self.tokenizer.encode_batch if self.unknown_ids else self.tokenizer.encode_batch_fast)(batch)
            ids = np.array([number for e in encodings for number in e.ids], dtype=np.int32)
            if self.unknown_ids:
                self._tell_unknowns_apart(encodings, batch, ids)
            flat.append(ids)
            lengths.extend(len(e) for e in encodings)
            second.extend(len(e) - sum(e.type_ids) for e in encodings)
        offsets = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
        return EncodedPairs(np.concatenate(flat), offsets, np.array(second, dtype=np.int32))

    def _tell_unknowns_apart(
        self, encodings: list[Encoding], batch: list[str] | list[tuple[str, str]], ids_T: npt.NDArray[np.int32]
    ) -> None:
        """Put <unk-i> for the i-th different unknown text of a row, in place; the last one stands for all further."""
        offsets = np.concatenate(([0], np.cumsum([len(e) for e in encodings])))
        places = np.flatnonzero(ids_T == self.special_ids[1])
        seen: dict[str, int] = {}
        last_row = -1
        for place, row in zip(places.tolist(), (np.searchsorted(offsets, places, "right") - 1).tolist(), strict=True):
            if row != last_row:
                seen, last_row = {}, row
            encoding, at = encodings[row], place - int(offsets[row])
            sides = batch[row] if isinstance(batch[row], tuple) else (batch[row],)
            begin, end = encoding.offsets[at]
            text = sides[encoding.sequence_ids[at] or 0][begin:end]
            number = seen.setdefault(text.lower() if self.lowercase else text, len(seen))
            ids_T[place] = self.unknown_ids[min(number, len(self.unknown_ids) - 1)]

    @property
    def lowercase(self) -> bool:
        """Whether case is dropped."""
        return getattr(self.tokenizer.normalizer, "lowercase", False) is True

    @property
    def never_masked(self) -> tuple[int, ...]:
        """Ids that are no tokens of the text: special ones and placeholders of unknown ones."""
        return (*self.special_ids, *self.unknown_ids)

    def unknown_rate(self, *parts: EncodedPairs) -> float:
        """Share of [UNK] among the tokens of `parts`, [CLS] and [SEP] not counted."""
        pad, unk, cls, sep, _ = self.special_ids
        flat_T = np.concatenate([part.flat_T for part in parts])
        text_T = flat_T[~np.isin(flat_T, (pad, cls, sep))]
        return float(np.mean(np.isin(text_T, (unk, *self.unknown_ids)))) if len(text_T) else 0.0

    def save(self, folder: Path) -> None:
        """Write FILES: enough for load(), and for transformers' AutoTokenizer (words: cut by jieba beforehand)."""
        self.tokenizer.save(str(folder / "tokenizer.json"))
        names = {f"{name[1:-1].lower()}_token": name for name in SPECIALS}
        plain = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": self.max_length, **names}
        plain["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]
        for name, content in (
            ("tokenizer_config.json", plain),
            (
                "tokens.json",
                {"unit": self.unit, "max_length": self.max_length, "distinct_unknowns": len(self.unknown_ids)},
            ),
        ):
            (folder / name).write_text(json.dumps(content, indent=1), encoding="utf-8")


def build_tokens(config: TokensConfig, texts: list[str], unit: Unit, max_length: int) -> Tokens:
    """A tokenizer of `texts`: of the training part only. What only valid holds stays unknown, as online."""
    tokenizer = build(unit, config, segment(texts) if unit == "words" else texts)
    return _ready(tokenizer, unit, max_length, config.distinct_unknowns)


def load_tokens(folder: Path, max_length: int | None = None) -> Tokens:
    """What save() wrote, to the same ids. `max_length` None: the saved one. Raises RunError if files lack."""
    for name in ("tokenizer.json", "tokens.json"):
        if not (folder / name).is_file():
            raise RunError(f"{folder} has no {name}: give the whole folder of a finished run")
    saved: dict[str, Any] = json.loads((folder / "tokens.json").read_text(encoding="utf-8"))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return _ready(tokenizer, saved["unit"], max_length or saved["max_length"], saved.get("distinct_unknowns", 0))


def public_tokens(folder: Path, config: TokensConfig, train: Pairs, max_length: int) -> Tokens:
    """The vocabulary that lies with public weights in `folder`; nothing is fetched, no foreign code is run.

    Raises RunError when there is none, or when more than MOST_UNKNOWN of the train tokens are not in it.
    """
    if (folder / "tokens.json").is_file():  # a run of ours, kept by hand
        tokens = load_tokens(folder, max_length)
    else:
        unit = find_unit(config.unit, train.a + train.b)
        tokens = _ready(public_backend(folder), unit, max_length, config.distinct_unknowns)
    unknown = tokens.unknown_rate(tokens.encode(train))
    if unknown > MOST_UNKNOWN:
        raise RunError(
            f"{unknown:.0%} of the train tokens are unknown to the vocabulary in {folder} (for example in "
            f"{train.a[0][:40]!r}): start from scratch, or bring weights made for this text"
        )
    return tokens


def public_backend(folder: Path) -> Tokenizer:
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt")):
        raise RunError(f"{folder} has no vocabulary: put its vocab.txt or tokenizer.json beside the weights")
    from transformers import AutoTokenizer  # here: it takes seconds, and runs from scratch never need it

    try:
        # a revision is for downloads, and nothing is downloaded
        found = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise RunError(f"the vocabulary in {folder} cannot be read ({error}): add vocab.txt") from error
    backend = getattr(found, "backend_tokenizer", None)
    if backend is None:
        raise RunError(f"the vocabulary in {folder} has no fast tokenizer: save it as tokenizer.json first")
    return Tokenizer.from_str(backend.to_str())


def _ready(tokenizer: Tokenizer, unit: Unit, max_length: int, distinct_unknowns: int = 0) -> Tokens:
    """Set pair template and truncation, the same for every origin; placeholders get the ids after the vocabulary."""
    found = [tokenizer.token_to_id(name) for name in SPECIALS]
    if None in found:
        missing = ", ".join(name for name, number in zip(SPECIALS, found, strict=True) if number is None)
        raise RunError(f"the vocabulary has no {missing}: pairboard needs BERT's special tokens")
    cls, sep = found[2], found[3]
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", cls), ("[SEP]", sep)],
    )
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length, strategy="longest_first")
    placeholders = [f"<unk-{number}>" for number in range(distinct_unknowns)]
    tokenizer.add_special_tokens(placeholders)
    tokenizer.encode_special_tokens = True  # "[MASK]" typed by a person is text, not a mask
    unknown_ids = tuple(tokenizer.token_to_id(name) for name in placeholders)
    return Tokens(tokenizer, unit, max_length, tuple(found), unknown_ids)
