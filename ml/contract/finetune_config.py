"""How the pair classifier is trained, and which weights it leaves."""

from typing import Literal

from ml.contract.knob import both, knob, unless, when
from ml.contract.training_config import Phase

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
        1.0,
        "Weight of label 1",
        "正例权重",
        "explicit only: 1.3 is the note's 1:1.3.",
        gt=0,
        le=100,
        applies=when("class_weight", "explicit"),
    )
    test_prior: float = knob(
        0.37,
        "Test prior",
        "测试集正例率",
        "test_prior only: share of positives in the test file.",
        gt=0,
        lt=1,
        applies=when("class_weight", "test_prior"),
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
        0.5,
        "Weight of soft labels",
        "软标签权重",
        "Share of the soft labels in the target.",
        gt=0,
        le=1,
        applies=unless("soft_labels_from", 0),
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
        fits=both(when("data.full_data", False), unless("averaging", "ema", "swa")),
    )
    averaging: Averaging = knob(
        "none",
        "Averaging",
        "权重平均",
        "ema: running mean of the weights (Polyak 1992). swa: equal mean of the weights after swa_start (Izmailov et "
        "al. 2018). last_, best_weights: mean of the last or best checkpoints' weights; _predictions: of their "
        "predictions.",
    )
    ema_decay: float = knob(0.999, "EMA decay", "EMA 衰减", "ema only.", gt=0, lt=1, applies=when("averaging", "ema"))
    swa_start: float = knob(
        0.5,
        "SWA start",
        "SWA 起点",
        "swa only: share of the steps before the mean begins.",
        ge=0,
        lt=1,
        applies=when("averaging", "swa"),
    )
    averaging_checkpoints: int = knob(
        3,
        "Checkpoints averaged",
        "平均的检查点数",
        "last_ and best_ only.",
        ge=1,
        le=50,
        applies=when("averaging", "last_weights", "best_weights", "last_predictions", "best_predictions"),
    )
    swap_at_test: bool = knob(
        False, "Swap at test time", "测试时互换", "A probability is the mean of the pair's and of the turned pair's."
    )
    scoring_precision: Literal["float32", "bfloat16"] = knob(
        "float32",
        "Precision of scoring",
        "预测精度",
        "Of the matrix products when pairs are scored. float32: what plain transformers gives, to 0.00001. bfloat16: "
        "about twice as fast on CPUs that have it; a probability moves by 0.001 at most and AUC by some 0.00002.",
    )
