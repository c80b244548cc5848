"""What an experiment asks for: every knob of the recipe, declared once.

From a field's declaration come the web form, validation, the JSON column, the API docs and the CLI.
Adding a knob is two edits: the field, in one of the *_config modules, and its use in ml.
"""

from typing import Any, Literal, Self

from pydantic import BaseModel, Field, model_validator

from ml.contract.encoder_config import EncoderConfig
from ml.contract.finetune_config import FinetuneConfig
from ml.contract.fusion_config import FusionConfig
from ml.contract.knob import Rule, both, knob, when
from ml.contract.pretrain_config import PretrainConfig
from ml.contract.strict import Strict
from ml.contract.text_config import AugmentConfig, DataConfig, TokensConfig
from ml.contract.words import text

CONFIG_VERSION: Literal[2] = 2
_LEAKS_AUGMENTED = "augmented before the split: valid holds pairs made from training rows"
_LEAKS_ROWS = "split by row: sentences of valid stand in train, too"
_SAW_TEST = "pretraining read the texts (no labels) of the test file"
_SAW_VALID = "pretraining read the texts (no labels) of every fold's valid part"
_SAW_BOTH = "pretraining read the texts (no labels) of the test file and every fold's valid part"
#: put there by the app when the audit of a run's split says so
LEAKS_AUDITED = "the audit of its split found that training reads what valid is scored on"
#: why a row is marked, as rows keep it in English; a page says it in its reader's language
MARK_REASONS = (_LEAKS_AUGMENTED, _LEAKS_ROWS, _SAW_TEST, _SAW_VALID, _SAW_BOTH, LEAKS_AUDITED)

__all__ = [
    "AugmentConfig",
    "DataConfig",
    "EncoderConfig",
    "ExperimentConfig",
    "FinetuneConfig",
    "FusionConfig",
    "PretrainConfig",
    "TokensConfig",
]


#: a fusion trains nothing, so nothing of how to train counts
_TRAINS = when("fusion.enabled", False)


def _group(en: str, zh: str, applies: Rule = _TRAINS, **default: Any) -> Any:
    extra: dict[str, Any] = {"title_zh": zh, "applies": applies}
    return Field(title=en, json_schema_extra=extra, **default)


class ExperimentConfig(Strict):
    """One row of the comparison table, as asked for. `upgrade` reads older versions."""

    version: Literal[2] = CONFIG_VERSION
    data: DataConfig = _group("Data", "数据", default_factory=DataConfig)
    tokens: TokensConfig = _group("Tokens", "切分", default_factory=TokensConfig)
    augment: AugmentConfig = _group("Augmentation", "数据增强", default_factory=AugmentConfig)
    encoder: EncoderConfig = _group("Encoder", "编码器", default_factory=EncoderConfig)
    pretrain: PretrainConfig | None = _group(
        "Pretraining", "预训练", both(when("pretrain.enabled", True), _TRAINS), default=None
    )
    finetune: FinetuneConfig = _group("Finetuning", "微调", default_factory=FinetuneConfig)
    fusion: FusionConfig | None = _group("Fusion", "融合", when("fusion.enabled", True), default=None)
    seed: int = knob(
        42,
        "Seed",
        "随机种子",
        "Seeds the weights, the masks and the order of rows; the split has a seed of its own.",
        ge=0,
        le=2**31 - 1,
        applies=_TRAINS,
    )

    @model_validator(mode="after")
    def _groups_fit(self) -> Self:
        for problem in (self._split_problem(), self._pretrain_problem(), self._finetune_problem()):
            if problem:
                raise ValueError(problem)
        return self

    def _split_problem(self) -> str:
        if self.augment.augment_before_split:
            if self.data.split_by != "row":
                return text(
                    "augment.augment_before_split reproduces the leak of a row split: set data.split_by to row "
                    "(a component split would keep the made pairs together)"
                )
            if not (self.augment.closure_positives or self.augment.closure_negatives or self.augment.swap == "copies"):
                return text(
                    "augment.augment_before_split has nothing to do: switch on a closure, or set swap to copies"
                )
        if self.data.full_data and not self.finetune.max_steps:
            return text("data.full_data has no valid part to stop by: set finetune.max_steps to 1 or more")
        return ""

    def _pretrain_problem(self) -> str:
        if self.pretrain is None:
            return ""
        if self.pretrain.positives_only and self.data.folds:
            return text(
                "pretrain.positives_only with data.folds would tell the labels of each fold's valid part: "
                "switch one of them off"
            )
        if self.pretrain.augmented and self.data.folds:
            return text(
                "pretrain.augmented with data.folds would carry labels of each fold's valid part into the shared "
                "pretrain: switch one of them off"
            )
        if self.encoder.model_type == "electra" and self.encoder.weights:
            return text(
                "encoder.weights of an electra have no generator to go on pretraining with: set pretrain to null, "
                "or start from scratch"
            )
        return ""

    def _finetune_problem(self) -> str:
        finetune, size = self.finetune, self.encoder.sizes
        if finetune.head == "last4_cls" and not self.encoder.weights and size.num_hidden_layers < 4:
            return text(
                "finetune.head last4_cls reads the last four layers and the encoder has %(layers)s: "
                "take num_hidden_layers 4 or more",
                layers=size.num_hidden_layers,
            )
        by_valid = {
            "finetune.early_stopping_patience": finetune.early_stopping_patience > 0,
            f"finetune.averaging {finetune.averaging}": finetune.averaging.startswith("best_"),
            "finetune.lr_scheduler_type reduce_lr_on_plateau": finetune.lr_scheduler_type == "reduce_lr_on_plateau",
        }
        chosen = next((name for name, on in by_valid.items() if on), "")
        if self.data.full_data and chosen:
            return text(
                "%(chosen)s needs a valid part, and data.full_data leaves none: switch one of them off", chosen=chosen
            )
        if finetune.early_stopping_patience and finetune.averaging in {"ema", "swa"}:
            return text(
                "finetune.early_stopping_patience keeps the best weights, averaging %(averaging)s a mean of "
                "all: choose one (averaging best_weights goes with early stopping)",
                averaging=finetune.averaging,
            )
        return ""

    @property
    def members(self) -> list[tuple[int | None, int]]:
        """(fold, repeat) of each training of this experiment; fold None without folds."""
        folds: list[int | None] = list(range(self.data.folds)) if self.data.folds else [None]
        return [(fold, repeat) for fold in folds for repeat in range(self.data.repeats)]

    @property
    def marks(self) -> dict[str, str]:
        """What a reader of the scores must know (leaking, transductive), and why."""
        found: dict[str, str] = {}
        if self.augment.augment_before_split:
            found["leaking"] = _LEAKS_AUGMENTED
        elif self.data.split_by == "row":
            found["leaking"] = _LEAKS_ROWS
        saw_test = self.pretrain is not None and self.pretrain.test_texts
        saw_valid = self.pretrain is not None and self.data.folds > 0
        if saw_test or saw_valid:
            found["transductive"] = _SAW_BOTH if saw_test and saw_valid else _SAW_TEST if saw_test else _SAW_VALID
        return found


def upgrade(stored: dict[str, Any]) -> ExperimentConfig:
    """Read a stored config of any known version. Raises ValueError for a version newer than this code.

    Version 1 had one seed for everything; since version 2 the split has its own.
    """
    version = stored.get("version", CONFIG_VERSION)
    if version == 1:
        data = stored.get("data", {})
        if isinstance(data, dict):  # what is no object is refused below, by its name
            data = {"split_seed": stored.get("seed", 42), **data}
        stored = {**stored, "version": CONFIG_VERSION, "data": data}
    elif version != CONFIG_VERSION:
        raise ValueError(
            text(
                "config version %(version)s is not known here (this pairboard reads versions 1 to %(known)s): "
                "update pairboard",
                version=repr(version)[:40],
                known=CONFIG_VERSION,
            )
        )
    return ExperimentConfig.model_validate(stored)


def merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with `changes` laid over it, group by group; a group set to null (pretrain) is removed."""
    merged = dict(base)
    for key, value in changes.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def field_names() -> list[str]:
    """Dotted paths of every field of the recipe, in order, without the version."""
    found = []
    for name, info in ExperimentConfig.model_fields.items():
        options = getattr(info.annotation, "__args__", (info.annotation,))
        inner = next((item for item in options if isinstance(item, type) and issubclass(item, BaseModel)), None)
        found += [f"{name}.{key}" for key in inner.model_fields] if inner else [name]
    return [name for name in found if name != "version"]


def flat(config: dict[str, Any]) -> dict[str, Any]:
    """Fields of a stored config by their dotted path, without the version; a part that is left out is one, None."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, dict):
            found |= {f"{name}.{key}": item for key, item in value.items()}
        elif name != "version":
            found[name] = value
    return found


def differences(base: dict[str, Any], other: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Dotted fields in which two stored configs differ: (in base, in other); a group that is absent counts as null."""
    found: dict[str, tuple[Any, Any]] = {}
    for key in [*base, *(key for key in other if key not in base)]:
        left, right = base.get(key), other.get(key)
        if isinstance(left, dict) and isinstance(right, dict):
            found |= {f"{key}.{name}": pair for name, pair in differences(left, right).items()}
        elif left != right:
            found[key] = (left, right)
    return found
