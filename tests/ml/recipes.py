"""What tests of the recipe share: public weights in miniature, and pairs of ids."""

from pathlib import Path

import torch
from transformers import BertConfig, BertForMaskedLM

from ml.vocabulary import SPECIALS

CHARACTERS = (
    "的一是我不在人有了这你他们来到时大地为子中说生国年着就那和要她出也得里后自以会家可下而过天去能对小多然于心学"
)


def public_weights(folder: Path, vocabulary: str = CHARACTERS) -> Path:
    """A tiny BERT of Hugging Face's layout with a Chinese vocabulary."""
    folder.mkdir(parents=True, exist_ok=True)
    words = [*SPECIALS, "[unused1]", *vocabulary]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    torch.manual_seed(5)
    config = BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
    )
    BertForMaskedLM(config).save_pretrained(folder, safe_serialization=True)
    return folder
