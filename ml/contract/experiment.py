"""What an experiment asks for: every knob of the recipe, declared once.

From a field's declaration come the web form, validation, the JSON column, the API docs and the CLI.
Adding a knob is two edits: the field here, and its use in ml. Names follow transformers where it has one.
"""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from ml.contract.strict import Strict

CONFIG_VERSION: Literal[1] = 1


def knob(default: Any, en: str, zh: str, help: str, *, unit: str = "", **bounds: Any) -> Any:
    """A field of the recipe with its English and Chinese title, help text, unit and bounds.

    Pydantic's `ge`, `gt`, `le`, `lt`, `max_length` and `pattern` are the bounds; pages and API docs read them
    from the JSON schema.
    """
    extra: dict[str, Any] = {"title_zh": zh}
    if unit:
        extra["unit"] = unit
    return Field(default, title=en, description=help, json_schema_extra=extra, **bounds)


class DataConfig(Strict):
    """How rows become training and validation parts."""

    valid_fraction: float = knob(
        0.1,
        "Validation share",
        "验证集比例",
        "Share of rows held out for valid. The split is by connected component: no sentence is on both sides.",
        ge=0.01,
        le=0.5,
    )
    max_length: int = knob(
        64,
        "Maximum length",
        "最大长度",
        "Longest pair, [CLS] and both [SEP] counted; the longer sentence is cut first.",
        unit="tokens",
        ge=8,
        le=512,
    )


class TokensConfig(Strict):
    """How text becomes token ids."""

    unit: Literal["auto", "ids", "characters", "words"] = knob(
        "auto",
        "Token unit",
        "切分单位",
        "ids: anonymised numbers divided by spaces. characters: one token a Chinese character, Latin words by "
        "WordPiece. words: jieba segmentation. auto: ids if every sentence of the train file is numbers, otherwise "
        "characters.",
    )
    min_count: int = knob(
        2,
        "Minimum count",
        "最低词频",
        "A token seen less often than this in the training data becomes [UNK].",
        unit="times",
        ge=1,
        le=1000,
    )
    max_vocab_size: int = knob(
        30000,
        "Vocabulary limit",
        "词表上限",
        "The most frequent tokens are kept; the limit counts the special tokens too.",
        unit="tokens",
        ge=100,
        le=200000,
    )
    lowercase: bool = knob(True, "Lower case", "转小写", "Raw text only: OPPO and oppo become one token.")


class EncoderConfig(Strict):
    """The BERT encoder: from scratch with the sizes below, or from a folder of weights."""

    weights: str = knob(
        "",
        "Folder of weights",
        "预训练权重目录",
        "A folder in Hugging Face layout (config.json, model.safetensors, vocabulary) on the worker's machine. "
        "Empty: from scratch. With a folder, its own sizes and vocabulary are used and the sizes below are ignored.",
        max_length=500,
    )
    num_hidden_layers: int = knob(4, "Layers", "层数", "Transformer layers.", ge=1, le=48)
    hidden_size: int = knob(
        256, "Hidden size", "隐藏维度", "Width of every layer; a multiple of the heads.", ge=16, le=4096
    )
    num_attention_heads: int = knob(4, "Attention heads", "注意力头数", "Heads a layer.", ge=1, le=64)
    intermediate_size: int = knob(1024, "Feed-forward size", "前馈维度", "Width inside a layer.", ge=16, le=16384)
    hidden_dropout_prob: float = knob(
        0.1, "Dropout", "随机失活", "Dropout of hidden states and of attention weights.", ge=0.0, le=0.9
    )

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if not self.weights and self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads "
                f"{self.num_attention_heads}: choose a width that the heads divide"
            )
        return self


class _Phase(Strict):
    """What every training phase has; the names are transformers' TrainingArguments'."""

    num_train_epochs: float = knob(
        3.0, "Epochs", "轮数", "Passes over the training part.", unit="epochs", gt=0, le=1000
    )
    batch_size: int = knob(64, "Batch size", "批大小", "Pairs a step.", unit="pairs", ge=1, le=8192)
    learning_rate: float = knob(1e-4, "Learning rate", "学习率", "Peak, after warm-up, then linear to 0.", gt=0, le=1)
    warmup_ratio: float = knob(
        0.1, "Warm-up", "预热比例", "Share of the steps in which the learning rate rises.", ge=0, le=0.9
    )
    weight_decay: float = knob(
        0.01, "Weight decay", "权重衰减", "AdamW's; biases and LayerNorm are spared.", ge=0, le=1
    )
    max_grad_norm: float = knob(1.0, "Gradient clip", "梯度裁剪", "Largest norm of the gradient.", gt=0, le=1000)


class PretrainConfig(_Phase):
    """Masked language modelling on the training pairs (Devlin et al. 2019), masks drawn anew at every pass."""

    num_train_epochs: float = knob(
        10.0, "Epochs", "轮数", "Passes over the training part.", unit="epochs", gt=0, le=1000
    )
    learning_rate: float = knob(5e-4, "Learning rate", "学习率", "Peak, after warm-up, then linear to 0.", gt=0, le=1)
    mlm_probability: float = knob(
        0.15, "Mask rate", "掩码率", "Share of tokens to predict: 80% [MASK], 10% random, 10% kept.", gt=0, le=0.8
    )


class FinetuneConfig(_Phase):
    """Training the pair classifier on the labels."""

    classifier_dropout: float = knob(
        0.1, "Classifier dropout", "分类头随机失活", "Dropout before the classification layer.", ge=0, le=0.9
    )


class ExperimentConfig(Strict):
    """One row of the comparison table, as asked for. `upgrade` reads older versions."""

    version: Literal[1] = CONFIG_VERSION
    data: DataConfig = Field(default_factory=DataConfig, title="Data", json_schema_extra={"title_zh": "数据"})
    tokens: TokensConfig = Field(default_factory=TokensConfig, title="Tokens", json_schema_extra={"title_zh": "切分"})
    encoder: EncoderConfig = Field(
        default_factory=EncoderConfig, title="Encoder", json_schema_extra={"title_zh": "编码器"}
    )
    pretrain: PretrainConfig | None = Field(None, title="Pretraining", json_schema_extra={"title_zh": "预训练"})
    finetune: FinetuneConfig = Field(
        default_factory=FinetuneConfig, title="Finetuning", json_schema_extra={"title_zh": "微调"}
    )
    seed: int = knob(
        42, "Seed", "随机种子", "Seeds the split, the weights, the masks and the order of rows.", ge=0, le=2**31 - 1
    )


def upgrade(stored: dict[str, Any]) -> ExperimentConfig:
    """Read a stored config of any known version. Raises ValueError for a version newer than this code."""
    version = stored.get("version", CONFIG_VERSION)
    if version != CONFIG_VERSION:
        raise ValueError(
            f"config version {version!r} is not known here (this pairboard reads version {CONFIG_VERSION}): "
            "update pairboard"
        )
    return ExperimentConfig.model_validate(stored)


def merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with `changes` laid over it, group by group; a group set to null (pretrain) is removed."""
    merged = dict(base)
    for key, value in changes.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged
