"""The trained rows of the competitor's note as presets, note-01 to note-12, and `best`. Called by presets.

The note's splits were by row, so are these: their rows are marked as leaking, as the note's were. Each takes a size of
encoder, so that the whole table runs on a CPU at size tiny.
"""

from typing import Any

from ml.contract.encoder_config import SizeName
from ml.contract.experiment import ExperimentConfig, merge

#: rates at which encoders of a size learn from scratch; the larger, the lower
_RATES: dict[str, tuple[float, float]] = {
    "tiny": (1e-3, 5e-4),
    "mini": (1e-3, 2e-4),
    "small": (5e-4, 1e-4),
    "base": (1e-4, 3e-5),
    "large": (5e-5, 2e-5),
}
#: where the note's third row begins; the weights are yours to bring, their own size counts
_PUBLIC = {"weights": "public-weights", "embeddings": "frequency"}
_CLOSURE = {"swap": "copies", "closure_positives": True}


def _note(size: SizeName, **changes: Any) -> ExperimentConfig:
    """40 passes of pretraining and 20 of finetuning on a row split, every token to one dimension, and `changes`."""
    pretrain, finetune = _RATES[size]
    base = ExperimentConfig().model_dump() | {"pretrain": {}}
    own: dict[str, Any] = {
        "data": {"split_by": "row", "max_length": 32},
        "tokens": {"min_count": 1},
        "encoder": {"size": size},
        "pretrain": {"num_train_epochs": 40, "learning_rate": pretrain},
        "finetune": {"num_train_epochs": 20, "learning_rate": finetune, "head": "all"},
    }
    return ExperimentConfig.model_validate(merge(merge(base, own), changes))


def note_01(size: SizeName) -> ExperimentConfig:
    """Train_epoch=1 finetune_epoch=1: one pass of each."""
    return _note(size, pretrain={"num_train_epochs": 1}, finetune={"num_train_epochs": 1})


def note_02(size: SizeName) -> ExperimentConfig:
    """Train_epoch=40 finetune_epoch=20: forty and twenty passes."""
    return _note(size)


def note_03(size: SizeName) -> ExperimentConfig:
    """Public weights, special rows aligned, the others by frequency; put your folder into encoder.weights."""
    return _note(size, encoder=_PUBLIC)


def note_04(size: SizeName) -> ExperimentConfig:
    """Public weights with the [CLS] head instead of every token to one dimension."""
    return _note(size, encoder=_PUBLIC, finetune={"head": "cls"})


def note_05(size: SizeName) -> ExperimentConfig:
    """Public weights, incompletely augmented pretraining corpus: turned pairs, closed positives, single sentences."""
    return _note(
        size,
        encoder=_PUBLIC,
        augment={"closure_positives": True, "keep_class_ratio": False},
        pretrain={"augmented": True, "examples": "both", "swap": True},
    )


def _leaking(size: SizeName, **changes: Any) -> ExperimentConfig:
    before = _note(size, augment={**_CLOSURE, "closure_negatives": True, "augment_before_split": True})
    return ExperimentConfig.model_validate(merge(before.model_dump(), changes))


def _weighted(weight: float) -> dict[str, Any]:
    return {"class_weight": "explicit", "positive_weight": weight}


def note_06(size: SizeName) -> ExperimentConfig:
    """Augment the training set, then split off valid: the leak that took valid from 0.955 to 0.991."""
    return _leaking(size)


def note_07(size: SizeName) -> ExperimentConfig:
    """The leaking row with class weights 1:1.1."""
    return _leaking(size, finetune=_weighted(1.1))


def note_08(size: SizeName) -> ExperimentConfig:
    """Lookahead in both phases and class weights 1:1.3."""
    return _leaking(size, pretrain={"lookahead_steps": 5}, finetune={**_weighted(1.3), "lookahead_steps": 5})


def note_09(size: SizeName) -> ExperimentConfig:
    """Lookahead in both phases and class weights 1:1.4."""
    return _leaking(size, pretrain={"lookahead_steps": 5}, finetune={**_weighted(1.4), "lookahead_steps": 5})


def note_10(size: SizeName) -> ExperimentConfig:
    """n-gram masks, Lookahead, 1:1.3."""
    return ExperimentConfig.model_validate(merge(note_08(size).model_dump(), {"pretrain": {"masking": "ngram"}}))


def note_11(size: SizeName) -> ExperimentConfig:
    """n-gram masks, Lookahead, 1:0.7."""
    return ExperimentConfig.model_validate(merge(note_10(size).model_dump(), {"finetune": _weighted(0.7)}))


def note_12(size: SizeName) -> ExperimentConfig:
    """ELECTRA, five folds, the last checkpoints' predictions averaged; split by component, as folds are."""
    return _note(
        size,
        data={"split_by": "component", "folds": 5},
        encoder={"model_type": "electra"},
        pretrain={"mask_token_share": 1.0, "random_token_share": 0.0},
        finetune={"averaging": "last_predictions", "averaging_checkpoints": 3},
    )
