"""How a phase trains: what pretraining and finetuning share, and what is each one's own."""

from typing import Literal, Self

from pydantic import field_validator, model_validator

from ml.contract.knob import knob
from ml.contract.strict import Strict


class Phase(Strict):
    """What every training phase has; names are transformers' TrainingArguments' where it has one."""

    num_train_epochs: float = knob(
        3.0, "Epochs", "轮数", "Passes over the training part.", unit="epochs", gt=0, le=1000
    )
    max_steps: int = knob(
        0, "Step limit", "最大步数", "Steps in all instead of epochs; 0: epochs count.", unit="steps", ge=0, le=10**8
    )
    max_minutes: float = knob(
        0.0,
        "Time budget",
        "时间预算",
        "Stops after so many minutes of training, the learning rate following the clock (Geiping and Goldstein 2022); "
        "0: none. A budget makes the numbers depend on the machine's speed.",
        unit="minutes",
        ge=0,
        le=100000,
    )
    batch_size: int = knob(64, "Batch size", "批大小", "Pairs a step.", unit="pairs", ge=1, le=8192)
    learning_rate: float = knob(1e-4, "Learning rate", "学习率", "Peak, reached after the warm-up.", gt=0, le=1)
    lr_scheduler_type: Literal["linear", "cosine", "constant_with_warmup", "reduce_lr_on_plateau"] = knob(
        "linear",
        "Schedule",
        "学习率调度",
        "After the warm-up: linear or cosine (Loshchilov and Hutter 2017) down to 0, constant, or reduced by "
        "plateau_factor when valid AUC (pretraining: the loss of a pass) stops getting better.",
    )
    warmup_ratio: float = knob(
        0.1, "Warm-up", "预热比例", "Share of the steps in which the learning rate rises.", ge=0, le=0.9
    )
    plateau_factor: float = knob(
        0.5, "Plateau factor", "平台衰减系数", "reduce_lr_on_plateau only: what the rate is multiplied by.", gt=0, lt=1
    )
    plateau_patience: int = knob(
        0,
        "Plateau patience",
        "平台耐心",
        "reduce_lr_on_plateau only: evaluations without a better value that are borne.",
        ge=0,
        le=1000,
    )
    weight_decay: float = knob(
        0.01, "Weight decay", "权重衰减", "AdamW's; biases and LayerNorm are spared.", ge=0, le=1
    )
    max_grad_norm: float = knob(1.0, "Gradient clip", "梯度裁剪", "Largest norm of the gradient.", gt=0, le=1000)
    layer_decay: float = knob(
        1.0,
        "Layer-wise decay",
        "逐层学习率衰减",
        "The learning rate of a layer is this times that of the layer above it (Sun et al. 2019); 1: the same for all.",
        gt=0,
        le=1,
    )
    lookahead_steps: int = knob(
        0,
        "Lookahead k",
        "Lookahead 步数",
        "k steps forward, one step back (Zhang et al. 2019), around AdamW; 0: without. The note used 5.",
        unit="steps",
        ge=0,
        le=100,
    )
    lookahead_alpha: float = knob(
        0.5, "Lookahead alpha", "Lookahead 系数", "How far the slow weights go to the fast ones.", gt=0, le=1
    )
    adversarial: Literal["none", "fgm", "pgd"] = knob(
        "none",
        "Adversarial",
        "对抗训练",
        "fgm: one more backward pass with the word embeddings moved along their gradient (Miyato et al. 2017). pgd: "
        "several smaller moves inside a ball (Madry et al. 2018).",
    )
    adversarial_epsilon: float = knob(
        1.0, "Adversarial size", "扰动半径", "L2 norm of the move of the embedding matrix.", gt=0, le=100
    )
    adversarial_steps: int = knob(3, "PGD steps", "PGD 步数", "pgd only: moves a step.", ge=1, le=20)
    adversarial_step_size: float = knob(
        0.3, "PGD step size", "PGD 步长", "pgd only: L2 norm of one move.", gt=0, le=100
    )


class PretrainConfig(Phase):
    """Self-supervised training on the texts: masked language modelling, and what the encoder adds to it."""

    num_train_epochs: float = knob(
        10.0, "Epochs", "轮数", "Passes over the pretraining texts.", unit="epochs", gt=0, le=1000
    )
    learning_rate: float = knob(5e-4, "Learning rate", "学习率", "Peak, reached after the warm-up.", gt=0, le=1)
    examples: Literal["pairs", "sentences", "both"] = knob(
        "pairs", "Examples", "预训练样本", "Pairs, each different sentence by itself, or both."
    )
    swap: bool = knob(False, "Swap sides", "左右互换", "Each pair is turned round with probability 1/2 at every pass.")
    positives_only: bool = knob(
        False,
        "Positive pairs only",
        "仅用正例",
        "Of the labelled pairs only those with label 1 (the note's conclusion 5). Not together with folds: the pairs "
        "of each fold's valid part would tell their labels.",
    )
    augmented: bool = knob(
        False, "Augmented corpus", "增强语料", "The pairs that the augment group makes are pretrained on, too."
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
    )
    ngram_divisor: int = knob(
        3,
        "Shorter spans in short sentences",
        "短句缩短跨度",
        "ngram only: no span is longer than the sentence's tokens divided by this (at least 1 token); 0: no limit.",
        ge=0,
        le=100,
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
    )
    word_min_count: int = knob(
        10,
        "Word count",
        "词的最低频次",
        "mined only: a word stands so often in the texts.",
        unit="times",
        ge=2,
        le=10**6,
    )
    word_min_pmi: float = knob(
        3.0,
        "Word mutual information",
        "词的互信息",
        "mined only: smallest pointwise mutual information of a word's two parts, over all ways to cut it.",
        unit="nats",
        ge=0,
        le=50,
    )
    word_min_entropy: float = knob(
        1.0,
        "Word boundary entropy",
        "词的左右熵",
        "mined only: smallest entropy of the tokens to the left and to the right of a word.",
        unit="nats",
        ge=0,
        le=20,
    )
    word_max_length: int = knob(4, "Word length", "词的最大长度", "mined only.", unit="tokens", ge=2, le=4)
    sentence_order: bool = knob(
        True,
        "Sentence order",
        "句序预测",
        "albert only: half of the pairs are turned round, and the model tells which (Lan et al. 2020).",
    )
    generator_fraction: float = knob(
        0.25, "Generator size", "生成器比例", "electra only: its width as a share of the encoder's.", ge=0.1, le=1
    )
    rtd_weight: float = knob(
        50.0,
        "Discriminator weight",
        "判别器损失权重",
        "electra only: weight of replaced-token detection.",
        gt=0,
        le=1000,
    )

    @field_validator("ngram_probabilities")
    @classmethod
    def _sum_to_one(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        if min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
            raise ValueError(
                f"{', '.join(f'{s:g}' for s in shares)} sum to {sum(shares):g}: probabilities from 0 to 1 that sum to 1"
            )
        return shares

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        if self.mask_token_share + self.random_token_share > 1 + 1e-9:
            raise ValueError(
                f"mask_token_share {self.mask_token_share:g} and random_token_share {self.random_token_share:g} are "
                "more than 1 together: what is left stays as it is"
            )
        if self.gap_after_span and self.mlm_probability >= 0.5:
            raise ValueError(
                f"mlm_probability {self.mlm_probability:g} cannot be reached with gap_after_span: stay below 0.5"
            )
        return self


HeadName = Literal["cls", "all", "mean", "max", "cls_mean", "last4_cls"]
Averaging = Literal["none", "ema", "swa", "last_weights", "best_weights", "last_predictions", "best_predictions"]


class FinetuneConfig(Phase):
    """Training the pair classifier on the labels."""

    head: HeadName = knob(
        "cls",
        "Head",
        "分类头",
        "What the label is read from. cls: the first token through a tanh layer. all: every token's state in one "
        "linear layer (the note's best). mean, max: over the tokens. cls_mean: both. last4_cls: the first token in the "
        "last four layers.",
    )
    classifier_dropout: float = knob(
        0.1, "Classifier dropout", "分类头随机失活", "Dropout before the classification layer.", ge=0, le=0.9
    )
    multi_sample_dropout: int = knob(
        1,
        "Multi-sample dropout",
        "多样本失活",
        "Loss averaged over so many dropout masks of the head (Inoue 2019).",
        unit="masks",
        ge=1,
        le=32,
    )
    class_weight: Literal["none", "explicit", "train_prior", "test_prior"] = knob(
        "none",
        "Class weights",
        "类别权重",
        "explicit: label 1 weighs positive_weight, label 0 weighs 1. train_prior: both labels weigh the same in all. "
        "test_prior: as if test_prior of the rows were positive.",
    )
    positive_weight: float = knob(
        1.0, "Weight of label 1", "正例权重", "explicit only: 1.3 is the note's 1:1.3.", gt=0, le=100
    )
    test_prior: float = knob(
        0.37, "Test prior", "测试集正例率", "test_prior only: share of positives in the test file.", gt=0, lt=1
    )
    label_smoothing_factor: float = knob(
        0.0, "Label smoothing", "标签平滑", "Szegedy et al. 2016: this share is spread over both labels.", ge=0, lt=0.5
    )
    r_drop_alpha: float = knob(
        0.0,
        "R-Drop",
        "R-Drop 系数",
        "Weight of the symmetric divergence of two passes with other dropout (Liang et al. 2021); 0: off. Twice the "
        "time.",
        ge=0,
        le=100,
    )
    mlm_weight: float = knob(
        0.0,
        "Auxiliary MLM",
        "辅助 MLM 权重",
        "Weight of a masked-language loss on the same pairs while finetuning; 0: off. Twice the time.",
        ge=0,
        le=100,
    )
    soft_labels_from: int = knob(
        0,
        "Soft labels from",
        "软标签来源实验",
        "Number of an earlier experiment with folds on the same train file: its out-of-fold predictions are learnt "
        "beside the labels (Hinton et al. 2015); 0: off.",
        ge=0,
        le=2**31 - 1,
    )
    soft_label_weight: float = knob(
        0.5, "Weight of soft labels", "软标签权重", "Share of the soft labels in the target.", gt=0, le=1
    )
    evaluations_per_epoch: int = knob(
        1,
        "Evaluations a pass",
        "每轮评估次数",
        "How often valid is scored and a checkpoint is kept for averaging and early stopping.",
        ge=1,
        le=100,
    )
    early_stopping_patience: int = knob(
        0,
        "Early stopping",
        "早停耐心",
        "Stops after so many evaluations without a better valid AUC, and keeps the best weights; 0: off. Valid then "
        "chose the step, so it flatters a little.",
        unit="evaluations",
        ge=0,
        le=1000,
    )
    averaging: Averaging = knob(
        "none",
        "Averaging",
        "权重平均",
        "ema: running mean of the weights (Polyak 1992). swa: equal mean of the weights after swa_start (Izmailov et "
        "al. 2018). last_, best_weights: mean of the last or best checkpoints' weights; _predictions: of their "
        "predictions.",
    )
    ema_decay: float = knob(0.999, "EMA decay", "EMA 衰减", "ema only.", gt=0, lt=1)
    swa_start: float = knob(
        0.5, "SWA start", "SWA 起点", "swa only: share of the steps before the mean begins.", ge=0, lt=1
    )
    averaging_checkpoints: int = knob(3, "Checkpoints averaged", "平均的检查点数", "last_ and best_ only.", ge=1, le=50)
    swap_at_test: bool = knob(
        False, "Swap at test time", "测试时互换", "A probability is the mean of the pair's and of the turned pair's."
    )
