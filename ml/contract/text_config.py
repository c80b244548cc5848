"""From files to rows and tokens: the split, the vocabulary, the augmentation."""

from typing import Literal, Self

from pydantic import field_validator, model_validator

from ml.contract.knob import both, either, knob, unless, when
from ml.contract.strict import Strict
from ml.contract.words import text

#: a vocabulary of our own is built; public weights bring theirs
_BUILT = either(when("encoder.weights", ""), unless("encoder.embeddings", "own"))
_CLOSED = either(when("closure_positives", True), when("closure_negatives", True))


class DataConfig(Strict):
    """How rows become training and validation parts."""

    split_by: Literal["component", "twins", "row"] = knob(
        "component",
        "Split by",
        "划分方式",
        "component: rows that share sentences, however far, stay on one side, so valid is honest. twins: so do rows "
        "that are nearly the same, or the same but for how they are written. row: rows at random, "
        "as most notes do; sentences of valid then stand in train too, and the row is marked as leaking.",
    )
    valid_fraction: float = knob(
        0.1,
        "Validation share",
        "验证集比例",
        "Share of rows held out for valid; with folds each is 1/k.",
        ge=0.01,
        le=0.5,
        applies=both(when("folds", 0), when("full_data", False)),
    )
    folds: int = knob(
        0,
        "Folds",
        "折数",
        "0: one held-out part. 2 to 20: so many parts, stratified by label and whole by component; each is held out "
        "once, in a run of its own; valid is the AUC of all out-of-fold predictions and test predictions are averaged.",
        ge=0,
        le=20,
        fits=both(when("full_data", False), unless("split_by", "row")),
    )
    repeats: int = knob(
        1,
        "Repeats",
        "重复次数",
        "Trainings with different seeds on the same split (each fold, if there are folds); predictions are averaged, "
        "and each training's own valid score is shown beside by mean and deviation.",
        ge=1,
        le=20,
    )
    full_data: bool = knob(
        False,
        "Train on all rows",
        "全量训练",
        "No valid part: every labelled row trains. There is no valid score; set finetune.max_steps to what an "
        "experiment with a valid part found best.",
        fits=when("folds", 0),
    )
    split_seed: int = knob(
        42,
        "Split seed",
        "划分种子",
        "Seeds the split alone: rows of the table with the same one are comparable, and can be fused.",
        ge=0,
        le=2**31 - 1,
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

    @field_validator("folds")
    @classmethod
    def _two_or_more(cls, folds: int) -> int:
        if folds == 1:
            raise ValueError(text("1 fold has nothing to hold out: 0 (one held-out part) or 2 to 20"))
        return folds

    @model_validator(mode="after")
    def _all_rows_or_folds(self) -> Self:
        if self.full_data and self.folds:
            raise ValueError(text("full_data holds nothing out, folds do: set folds to 0, or full_data off"))
        if self.folds and self.split_by == "row":
            raise ValueError(text("folds are by component (split_by component): a row split cannot have them"))
        return self


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
        "A token seen less often than this in the training texts becomes [UNK].",
        unit="times",
        ge=1,
        le=1000,
        applies=_BUILT,
    )
    max_vocab_size: int = knob(
        30000,
        "Vocabulary limit",
        "词表上限",
        "The most frequent tokens are kept; the limit counts the special tokens too.",
        unit="tokens",
        ge=100,
        le=200000,
        applies=_BUILT,
    )
    lowercase: bool = knob(
        True,
        "Lower case",
        "转小写",
        "Raw text only: OPPO and oppo become one token.",
        applies=both(unless("unit", "ids"), _BUILT),
    )
    distinct_unknowns: int = knob(
        0,
        "Distinct unknowns",
        "未登录词占位符",
        "0: every unknown token is [UNK]. n: the unknown tokens of a pair, by first appearance, become <unk-0> ... "
        "<unk-(n-1)>, the same token the same one on both sides, so that the model sees whether they agree.",
        ge=0,
        le=16,
    )


class AugmentConfig(Strict):
    """More labelled pairs from the ones there are: inside the training part, after the split, unless said otherwise."""

    swap: Literal["none", "random", "copies"] = knob(
        "none",
        "Swap sides",
        "左右互换",
        "random: each pair is turned round with probability 1/2 at every pass, at no cost. copies: each pair also "
        "stands there turned round; twice the steps.",
    )
    closure_positives: bool = knob(
        False,
        "Close positives",
        "正例闭包",
        "a ~ b and b ~ c give a ~ c: all pairs inside a union-find component of the positives (Tarjan 1975).",
    )
    closure_negatives: bool = knob(
        False, "Carry negatives", "负例传递", "a ~ b and b != c give a != c, through components of positives."
    )
    max_per_component: int = knob(
        20,
        "Cap per component",
        "每个连通分量上限",
        "New pairs drawn at most from one positive component, and from one pair of components joined by a negative: "
        "giants would otherwise be most of the training.",
        unit="pairs",
        ge=1,
        le=100000,
        applies=_CLOSED,
    )
    keep_class_ratio: bool = knob(
        True,
        "Keep the class ratio",
        "保持正负比例",
        "The label that got too few new pairs is topped up with rows of the file turned round, and what the other then "
        "has too many is dropped at random: new rows have the ratio of the file.",
        applies=_CLOSED,
    )
    augment_before_split: bool = knob(
        False,
        "Augment before the split",
        "先增强后划分",
        "Reproduces the classic leak: valid holds pairs made from training rows, so it rises and online does not. "
        "Needs data.split_by row. The row of the table is marked as leaking.",
        fits=both(
            when("data.split_by", "row"),
            either(when("closure_positives", True), when("closure_negatives", True), when("swap", "copies")),
        ),
    )
