"""What is pretrained on, and how tokens are masked."""

from typing import Literal, Self

from pydantic import field_validator, model_validator

from ml.contract.knob import both, either, knob, unless, when
from ml.contract.training_config import Phase
from ml.contract.words import text

_NGRAM = when("masking", "ngram")
_MINED = both(when("masking", "whole_word"), unless("words", "jieba"))
_ELECTRA = when("encoder.model_type", "electra")


class PretrainConfig(Phase):
    """Self-supervised training on the texts: masked language modelling, and what the encoder adds to it."""

    num_train_epochs: float = knob(
        10.0,
        "Epochs",
        "轮数",
        "Passes over the pretraining texts.",
        unit="epochs",
        gt=0,
        le=1000,
        applies=when("max_steps", 0),
    )
    learning_rate: float = knob(5e-4, "Learning rate", "学习率", "Peak, reached after the warm-up.", gt=0, le=1)
    examples: Literal["pairs", "sentences", "both"] = knob(
        "pairs", "Examples", "预训练样本", "Pairs, each different sentence by itself, or both."
    )
    swap: bool = knob(
        False,
        "Swap sides",
        "左右互换",
        "Each pair is turned round with probability 1/2 at every pass.",
        applies=both(
            unless("examples", "sentences"),
            either(unless("encoder.model_type", "albert"), when("sentence_order", False)),
        ),
    )
    positives_only: bool = knob(
        False,
        "Positive pairs only",
        "仅用正例",
        "Of the labelled pairs only those with label 1 (the note's conclusion 5). Not together with folds: the pairs "
        "of each fold's valid part would tell their labels.",
        fits=when("data.folds", 0),
    )
    augmented: bool = knob(
        False,
        "Augmented corpus",
        "增强语料",
        "The pairs that the augment group makes are pretrained on, too.",
        applies=both(
            either(
                when("augment.closure_positives", True),
                when("augment.closure_negatives", True),
                when("augment.swap", "copies"),
            ),
            when("augment.augment_before_split", False),
        ),
        fits=when("data.folds", 0),
    )
    unlabelled: bool = knob(
        False, "Unlabelled file", "无标签数据", "The contest's unlabelled pairs are pretrained on, too."
    )
    test_texts: bool = knob(
        False,
        "Test texts",
        "测试集文本",
        "The texts of the test file are pretrained on, too; the row is marked as transductive.",
    )
    masking: Literal["token", "whole_word", "ngram"] = knob(
        "token",
        "Masking",
        "掩码方式",
        "token (Devlin et al. 2019), whole_word (Cui et al. 2021), ngram: spans of 1, 2, ... tokens.",
    )
    mlm_probability: float = knob(
        0.15, "Mask rate", "掩码率", "Share of the tokens that are to be guessed.", gt=0, le=0.8
    )
    mask_token_share: float = knob(
        0.8, "[MASK] share", "[MASK] 比例", "Share of the tokens to guess that become [MASK].", ge=0, le=1
    )
    random_token_share: float = knob(
        0.1, "Random share", "随机替换比例", "Share that become a random token; the rest stay as they are.", ge=0, le=1
    )
    dynamic: bool = knob(
        True, "Dynamic masks", "动态掩码", "Masks are drawn anew at every pass (Liu et al. 2019); off: once for all."
    )
    ngram_probabilities: tuple[float, ...] = knob(
        (0.7, 0.2, 0.1),
        "n-gram probabilities",
        "n-gram 概率",
        "ngram only: probability of spans of 1, 2, 3, ... tokens, divided by commas; they sum to 1.",
        min_length=1,
        max_length=10,
        applies=_NGRAM,
    )
    ngram_divisor: int = knob(
        3,
        "Shorter spans in short sentences",
        "短句缩短跨度",
        "ngram only: no span is longer than the sentence's tokens divided by this (at least 1 token); 0: no limit.",
        ge=0,
        le=100,
        applies=_NGRAM,
    )
    gap_after_span: bool = knob(
        False, "Gap after a span", "跨度后留空", "The word or token right after a masked one stays unmasked."
    )
    words: Literal["auto", "jieba", "mined"] = knob(
        "auto",
        "Words from",
        "词的来源",
        "whole_word only. jieba: its segmentation of the text. mined: token sequences that co-occur (for ids, which "
        "have no words). auto: mined for ids, jieba otherwise.",
        applies=when("masking", "whole_word"),
    )
    word_min_count: int = knob(
        10,
        "Word count",
        "词的最低频次",
        "mined only: a word stands so often in the texts.",
        unit="times",
        ge=2,
        le=10**6,
        applies=_MINED,
    )
    word_min_pmi: float = knob(
        3.0,
        "Word mutual information",
        "词的互信息",
        "mined only: smallest pointwise mutual information of a word's two parts, over all ways to cut it.",
        unit="nats",
        ge=0,
        le=50,
        applies=_MINED,
    )
    word_min_entropy: float = knob(
        1.0,
        "Word boundary entropy",
        "词的左右熵",
        "mined only: smallest entropy of the tokens to the left and to the right of a word.",
        unit="nats",
        ge=0,
        le=20,
        applies=_MINED,
    )
    word_max_length: int = knob(
        4, "Word length", "词的最大长度", "mined only.", unit="tokens", ge=2, le=4, applies=_MINED
    )
    sentence_order: bool = knob(
        True,
        "Sentence order",
        "句序预测",
        "albert only: half of the pairs are turned round, and the model tells which (Lan et al. 2020).",
        applies=when("encoder.model_type", "albert"),
    )
    generator_fraction: float = knob(
        0.25,
        "Generator size",
        "生成器比例",
        "electra only: its width as a share of the encoder's.",
        ge=0.1,
        le=1,
        applies=_ELECTRA,
    )
    rtd_weight: float = knob(
        50.0,
        "Discriminator weight",
        "判别器损失权重",
        "electra only: weight of replaced-token detection.",
        gt=0,
        le=1000,
        applies=_ELECTRA,
    )

    @field_validator("ngram_probabilities")
    @classmethod
    def _sum_to_one(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        if min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
            raise ValueError(
                text(
                    "%(shares)s sum to %(sum)g: probabilities from 0 to 1 that sum to 1",
                    shares=", ".join(f"{share:g}" for share in shares),
                    sum=sum(shares),
                )
            )
        return shares

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        if self.mask_token_share + self.random_token_share > 1 + 1e-9:
            raise ValueError(
                text(
                    "mask_token_share %(masked)g and random_token_share %(random)g are more than 1 together: what is "
                    "left stays as it is",
                    masked=self.mask_token_share,
                    random=self.random_token_share,
                )
            )
        if self.gap_after_span and self.mlm_probability >= 0.5:
            raise ValueError(
                text(
                    "mlm_probability %(rate)g cannot be reached with gap_after_span: stay below 0.5",
                    rate=self.mlm_probability,
                )
            )
        return self
