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
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing

from ml.contract.experiment import TokensConfig
from ml.encoded import EncodedPairs, Sentences, assemble
from ml.errors import RunError
from ml.pairs import Pairs, Rows
from ml.vocabulary import SPECIALS, Unit, build, divides_alike, find_unit
from ml.words import segment

FILES = ("tokenizer.json", "tokenizer_config.json", "tokens.json")
MOST_UNKNOWN = 0.3  # share of tokens; above it the vocabulary is of another language or of another anonymisation
_BATCH = 20_000  # sentences handed to Rust at once: bounds the memory of its Encoding objects
_COUNTED = 1 << 24  # tokens counted at once

Block = tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]  # ids of some sentences end to end, and their lengths


@dataclass(frozen=True, slots=True)
class Tokens:
    """A tokenizer, the unit it works in, and the ids of its special tokens."""

    tokenizer: Tokenizer
    uncut: Tokenizer  # the same without truncation: for sentences, which are cut when they are put together
    unit: Unit
    max_length: int
    special_ids: tuple[int, ...]  # in the order of SPECIALS
    unknown_ids: tuple[int, ...] = ()  # of <unk-0>, <unk-1>, ...
    #: token: id, when whitespace divides the text and each piece is looked up whole. A dictionary is then 10 times
    #: faster than tokenizers, which also keeps the places of each token; the ids are the same
    vocabulary: dict[str, int] | None = None

    @property
    def vocab_size(self) -> int:
        """Rows that the embedding needs."""
        return max(self.tokenizer.get_vocab(with_added_tokens=True).values()) + 1

    def encode(self, pairs: Pairs, rows: Rows | None = None) -> EncodedPairs:
        """Token ids of `rows` of `pairs`, in that order; of all rows when None."""
        return self.encode_both_ways(pairs if rows is None else pairs.only(rows), turned=False)[0]

    def encode_both_ways(self, pairs: Pairs, *, turned: bool) -> tuple[EncodedPairs, EncodedPairs | None]:
        """Token ids of `pairs`, and if asked for of the same pairs with their sides exchanged."""
        unknown: dict[str, int] = {}
        first, second = self._tokenise(pairs.a, unknown), self._tokenise(pairs.b, unknown)
        return self._assemble(first, second), self._assemble(second, first) if turned else None

    def encode_sentences(self, sentences: list[str]) -> EncodedPairs:
        """Token ids of single sentences, `[CLS] a [SEP]`."""
        return self._assemble(self._tokenise(sentences, {}), None)

    def _assemble(self, first: Sentences, second: Sentences | None) -> EncodedPairs:
        _, _, cls, sep, _ = self.special_ids
        return assemble(first, second, self.max_length, (cls, sep), self.unknown_ids)

    def _tokenise(self, texts: list[str], unknown: dict[str, int]) -> Sentences:
        """Ids of each text alone. `unknown`: unknown text -> its number below 0, filled on the way."""
        if self.unit == "words":
            texts = segment(texts)
        flat: list[npt.NDArray[np.int32]] = [np.empty(0, np.int32)]
        lengths: list[npt.NDArray[np.int64]] = [np.empty(0, np.int64)]
        for start in range(0, len(texts), _BATCH):
            block = texts[start : start + _BATCH]
            if self.vocabulary is not None and divides_alike(block):
                ids, counts = self._by_dictionary(block, self.vocabulary, unknown)
            else:
                ids, counts = self._by_tokenizer(block, unknown)
            flat.append(ids)
            lengths.append(counts)
        offsets = np.concatenate(([0], np.cumsum(np.concatenate(lengths))))
        return Sentences(np.concatenate(flat), offsets)

    def _by_dictionary(self, texts: list[str], vocabulary: dict[str, int], unknown: dict[str, int]) -> Block:
        # one flat list: a list for each text would set off Python's garbage collector, which then walks through all
        # texts of the file again and again (4 minutes of 5 at 10 million pairs)
        words: list[str] = []
        lengths: list[int] = []
        for text in texts:
            found = text.split()
            words += found
            lengths.append(len(found))
        unk = self.special_ids[1]
        ids_T = np.fromiter((vocabulary.get(word, unk) for word in words), np.int32, len(words))
        lengths_N = np.array(lengths, np.int64)
        for place in np.flatnonzero(ids_T == unk).tolist() if self.unknown_ids else ():
            ids_T[place] = unknown.setdefault(words[place], -len(unknown) - 1)
        return ids_T, lengths_N

    def _by_tokenizer(self, texts: list[str], unknown: dict[str, int]) -> Block:
        # encode_batch_fast drops character offsets; they are only needed to tell unknown tokens apart
        encode = self.uncut.encode_batch if self.unknown_ids else self.uncut.encode_batch_fast
        encodings = encode(texts, add_special_tokens=False)
        lengths_N = np.fromiter(map(len, encodings), np.int64, len(encodings))
        ids_T = np.fromiter((number for e in encodings for number in e.ids), np.int32, int(lengths_N.sum()))

        places = np.flatnonzero(ids_T == self.special_ids[1]) if self.unknown_ids else np.empty(0, np.int64)
        rows = np.searchsorted(np.cumsum(lengths_N), places, "right")
        within = places - (np.cumsum(lengths_N) - lengths_N)[rows]
        for place, row, at in zip(places.tolist(), rows.tolist(), within.tolist(), strict=True):
            text = texts[row][slice(*encodings[row].offsets[at])]
            ids_T[place] = unknown.setdefault(text.lower() if self.lowercase else text, -len(unknown) - 1)
        return ids_T, lengths_N

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
        counts_V = np.zeros(self.vocab_size, np.int64)
        for flat_T in (part.flat_T for part in parts):
            for start in range(0, len(flat_T), _COUNTED):  # bincount copies what it counts
                counts_V += np.bincount(flat_T[start : start + _COUNTED], minlength=len(counts_V))
        counts_V[[pad, cls, sep]] = 0
        unknown = int(counts_V[[unk, *self.unknown_ids]].sum())
        return unknown / max(1, int(counts_V.sum()))

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
    uncut = Tokenizer.from_str(tokenizer.to_str())
    uncut.no_truncation()
    uncut.encode_special_tokens = True  # not part of the JSON
    plain = tokenizer.normalizer is None and isinstance(tokenizer.pre_tokenizer, WhitespaceSplit)
    looked_up = plain and isinstance(tokenizer.model, WordLevel)
    vocabulary = tokenizer.get_vocab(with_added_tokens=False) if looked_up else None
    return Tokens(tokenizer, uncut, unit, max_length, tuple(found), unknown_ids, vocabulary)
