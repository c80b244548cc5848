"""Named starting points: a preset is a function from a size of encoder to an ExperimentConfig."""

from collections.abc import Callable

from ml.contract import note_presets
from ml.contract.encoder_config import SIZES, SizeName
from ml.contract.experiment import (
    AugmentConfig,
    DataConfig,
    EncoderConfig,
    ExperimentConfig,
    FinetuneConfig,
    PretrainConfig,
    TokensConfig,
)
from ml.contract.words import text


def demo(size: SizeName) -> ExperimentConfig:
    """A short pretrain and finetune: seconds to a minute on a laptop; shows that the line works."""
    return ExperimentConfig(
        data=DataConfig(max_length=48),
        encoder=EncoderConfig(size=size),
        pretrain=PretrainConfig(num_train_epochs=4, learning_rate=1e-3),
        finetune=FinetuneConfig(num_train_epochs=4, learning_rate=5e-4),
    )


def scratch(size: SizeName) -> ExperimentConfig:
    """No pretraining: the baseline that every trick is measured against."""
    return ExperimentConfig(
        encoder=EncoderConfig(size=size), finetune=FinetuneConfig(num_train_epochs=5, learning_rate=3e-4)
    )


def small(size: SizeName) -> ExperimentConfig:
    """20 passes of masked pretraining, 5 of finetuning: a CPU evening or GPU minutes."""
    return ExperimentConfig(
        encoder=EncoderConfig(size=size),
        pretrain=PretrainConfig(num_train_epochs=20, learning_rate=1e-3),
        finetune=FinetuneConfig(num_train_epochs=5, learning_rate=2e-4),
    )


def base(size: SizeName) -> ExperimentConfig:
    """BERT with 40 passes of pretraining: for a GPU."""
    return ExperimentConfig(
        encoder=EncoderConfig(size=size),
        pretrain=PretrainConfig(num_train_epochs=40, batch_size=128, learning_rate=1e-4),
        finetune=FinetuneConfig(num_train_epochs=4, batch_size=32, learning_rate=3e-5),
    )


def best(size: SizeName) -> ExperimentConfig:
    """What the field's evidence says to combine; reads the unlabelled file."""
    return ExperimentConfig(
        data=DataConfig(max_length=48),
        tokens=TokensConfig(min_count=3, distinct_unknowns=4),
        augment=AugmentConfig(swap="random"),
        encoder=EncoderConfig(size=size, model_type="nezha"),
        pretrain=PretrainConfig(
            num_train_epochs=10, learning_rate=1e-3, unlabelled=True, masking="ngram", swap=True, warmup_ratio=0.05
        ),
        finetune=FinetuneConfig(
            num_train_epochs=5, learning_rate=2e-4, head="mean", averaging="last_weights", swap_at_test=True
        ),
    )


#: what is built, and the size it is meant for
_PRESETS: dict[str, tuple[Callable[[SizeName], ExperimentConfig], SizeName]] = {
    "demo": (demo, "tiny"),
    "scratch": (scratch, "mini"),
    "small": (small, "mini"),
    "base": (base, "base"),
    "best": (best, "mini"),
    **{f"note-{n:02d}": (getattr(note_presets, f"note_{n:02d}"), "base") for n in range(1, 13)},
}
#: name: what it is
PRESETS: dict[str, str] = {name: " ".join((make.__doc__ or "").split()) for name, (make, _) in _PRESETS.items()}


def preset(name: str, size: str = "") -> ExperimentConfig:
    """The preset called `name`, with an encoder of `size` (empty: the one it is meant for).

    Raises ValueError that lists the names, or the sizes, there are.
    """
    if name not in _PRESETS:
        raise ValueError(
            text("there is no preset %(name)r: choose one of %(names)s", name=name, names=", ".join(_PRESETS))
        )
    make, own = _PRESETS[name]
    sizes: dict[str, SizeName] = {known: known for known in SIZES}  # type: ignore[misc]
    if size and size not in sizes:
        raise ValueError(text("there is no size %(size)r: choose one of %(sizes)s", size=size, sizes=", ".join(SIZES)))
    return make(sizes[size] if size else own)


def size_of(name: str) -> str:
    """The size of encoder that a preset is meant for."""
    return _PRESETS[name][1]
