"""Public weights for an anonymised vocabulary: rows by frequency rank. Called by pair_model.

The ids of such a contest are characters in disguise, and the i-th most frequent id is near the i-th most frequent
character: it gets that character's row, and the special tokens keep their own (the note's third row).
"""

from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ml.errors import RunError
from ml.tokens import SPECIALS, Tokens, public_backend
from ml.words import character_frequencies

FREQUENCIES = "token_frequencies.tsv"


def align_embeddings(model: PreTrainedModel, folder: Path, tokens: Tokens) -> None:
    """Give `model` an embedding of `tokens`' vocabulary, its rows taken from the vocabulary in `folder`, in place.

    A token beyond the last public row, and a placeholder, keeps random weights. Raises RunError for a folder without
    a vocabulary or with a broken frequency file.
    """
    source_V = source_rows(folder, tokens)
    old = model.get_input_embeddings().weight.detach().clone()
    biases = {name: p.detach().clone() for name, p in model.named_parameters() if _is_row_bias(name, p, len(old))}
    model.resize_token_embeddings(tokens.vocab_size, mean_resizing=False)
    fresh = torch.empty(tokens.vocab_size, old.size(1)).normal_(std=model.config.initializer_range)
    known_V = source_V >= 0
    fresh[known_V] = old[source_V[known_V]]
    with torch.no_grad():
        model.get_input_embeddings().weight.copy_(fresh)
        for name, parameter in model.named_parameters():
            if name in biases:
                moved = torch.zeros(tokens.vocab_size)
                moved[known_V] = biases[name][source_V[known_V]]
                parameter.copy_(moved)
    model.tie_weights()


def source_rows(folder: Path, tokens: Tokens) -> Tensor:
    """For each id of `tokens` (V) the row in the public weights, or -1 where there is none left."""
    public = public_backend(folder).get_vocab(with_added_tokens=True)
    counts = _frequencies(folder)
    ordinary = [t for t in public if t not in SPECIALS and not t.startswith("[unused")]
    ordinary.sort(key=lambda token: (-counts.get(token, 0), public[token]))
    ours = tokens.tokenizer.get_vocab(with_added_tokens=True)
    source_V = torch.full((tokens.vocab_size,), -1, dtype=torch.long)
    for name in SPECIALS:
        source_V[ours[name]] = public[name]
    # our own ids are in the order of their counts, see vocabulary.build
    apart = set(tokens.never_masked)
    ranked = [number for number in sorted(ours.values()) if number not in apart]
    for number, token in zip(ranked, ordinary, strict=False):
        source_V[number] = public[token]
    return source_V


def _frequencies(folder: Path) -> dict[str, int]:
    path = folder / FREQUENCIES
    if not path.is_file():
        return character_frequencies()
    counts = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        token, _, count = line.rstrip("\r").partition("\t")
        if not line:
            continue
        if not count.strip().isdecimal():
            raise RunError(f"{path} line {number}: {line[:60]!r} is not a token, a tab and a whole count")
        counts[token] = int(count)
    return counts


def _is_row_bias(name: str, parameter: Tensor, rows: int) -> bool:
    return parameter.dim() == 1 and len(parameter) == rows and name.endswith("bias")
