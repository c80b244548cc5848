"""Named starting points: a preset is a function from nothing to an ExperimentConfig."""

from collections.abc import Callable

from ml.contract.experiment import DataConfig, EncoderConfig, ExperimentConfig, FinetuneConfig, PretrainConfig


def demo() -> ExperimentConfig:
    """2 layers, 128 wide, a short pretrain: seconds to a minute on a laptop; shows that the line works."""
    return ExperimentConfig(
        data=DataConfig(max_length=48),
        encoder=EncoderConfig(num_hidden_layers=2, hidden_size=128, num_attention_heads=2, intermediate_size=512),
        pretrain=PretrainConfig(num_train_epochs=4, learning_rate=1e-3),
        finetune=FinetuneConfig(num_train_epochs=4, learning_rate=5e-4),
    )


def scratch() -> ExperimentConfig:
    """4 layers, 256 wide, no pretraining: the baseline that every trick is measured against."""
    return ExperimentConfig(finetune=FinetuneConfig(num_train_epochs=5, learning_rate=3e-4))


def small() -> ExperimentConfig:
    """4 layers, 256 wide, 20 passes of masked pretraining, 5 of finetuning: a CPU evening or GPU minutes."""
    return ExperimentConfig(
        pretrain=PretrainConfig(num_train_epochs=20, learning_rate=1e-3),
        finetune=FinetuneConfig(num_train_epochs=5, learning_rate=2e-4),
    )


def base() -> ExperimentConfig:
    """BERT-base (12 layers, 768 wide), 40 passes of pretraining: for a GPU."""
    return ExperimentConfig(
        encoder=EncoderConfig(num_hidden_layers=12, hidden_size=768, num_attention_heads=12, intermediate_size=3072),
        pretrain=PretrainConfig(num_train_epochs=40, batch_size=128, learning_rate=1e-4),
        finetune=FinetuneConfig(num_train_epochs=4, batch_size=32, learning_rate=3e-5),
    )


PRESETS: dict[str, Callable[[], ExperimentConfig]] = {"demo": demo, "scratch": scratch, "small": small, "base": base}


def preset(name: str) -> ExperimentConfig:
    """The preset called `name`. Raises ValueError that lists the names there are."""
    if name not in PRESETS:
        raise ValueError(f"there is no preset {name!r}: choose one of {', '.join(PRESETS)}")
    return PRESETS[name]()
