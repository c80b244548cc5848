"""How a phase trains: what pretraining and finetuning share."""

from typing import Literal, Self

from pydantic import model_validator

from ml.contract.knob import knob, unless, when
from ml.contract.strict import Strict
from ml.contract.words import text

LEAST_ROWS = 8  # of a process's part of a batch; a smaller batch is not divided
_BY_EPOCHS = when("max_steps", 0)
_PLATEAU = when("lr_scheduler_type", "reduce_lr_on_plateau")


class Phase(Strict):
    """What every training phase has; names are transformers' TrainingArguments' where it has one."""

    num_train_epochs: float = knob(
        3.0, "Epochs", "轮数", "Passes over the training part.", unit="epochs", gt=0, le=1000, applies=_BY_EPOCHS
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
    num_processes: int = knob(
        1,
        "Processes",
        "进程数",
        "Processes of one host that share each batch by torchrun and DDP (Li et al. 2020): a GPU each, or the cores of "
        "a CPU divided among them. batch_size stays that of all together.",
        ge=1,
        le=64,
    )
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
        0.5,
        "Plateau factor",
        "平台衰减系数",
        "reduce_lr_on_plateau only: what the rate is multiplied by.",
        gt=0,
        lt=1,
        applies=_PLATEAU,
    )
    plateau_patience: int = knob(
        0,
        "Plateau patience",
        "平台耐心",
        "reduce_lr_on_plateau only: evaluations without a better value that are borne.",
        ge=0,
        le=1000,
        applies=_PLATEAU,
    )
    weight_decay: float = knob(
        0.01, "Weight decay", "权重衰减", "AdamW's; biases and LayerNorm are spared.", ge=0, le=1
    )
    precision: Literal["auto", "float32", "bfloat16"] = knob(
        "auto",
        "Precision",
        "计算精度",
        "Of the matrix products of training: bfloat16 where the GPU or the CPU (AMX, AVX512-bf16) has them, or as "
        "chosen here. Weights and optimizer are float32 always.",
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
        0.5,
        "Lookahead alpha",
        "Lookahead 系数",
        "How far the slow weights go to the fast ones.",
        gt=0,
        le=1,
        applies=unless("lookahead_steps", 0),
    )
    adversarial: Literal["none", "fgm", "pgd"] = knob(
        "none",
        "Adversarial",
        "对抗训练",
        "fgm: one more backward pass with the word embeddings moved along their gradient (Miyato et al. 2017). pgd: "
        "several smaller moves inside a ball (Madry et al. 2018).",
    )
    adversarial_epsilon: float = knob(
        1.0,
        "Adversarial size",
        "扰动半径",
        "L2 norm of the move of the embedding matrix.",
        gt=0,
        le=100,
        applies=unless("adversarial", "none"),
    )
    adversarial_steps: int = knob(
        3, "PGD steps", "PGD 步数", "pgd only: moves a step.", ge=1, le=20, applies=when("adversarial", "pgd")
    )
    adversarial_step_size: float = knob(
        0.3,
        "PGD step size",
        "PGD 步长",
        "pgd only: L2 norm of one move.",
        gt=0,
        le=100,
        applies=when("adversarial", "pgd"),
    )

    @model_validator(mode="after")
    def _batch_can_be_divided(self) -> Self:
        if self.num_processes > 1 and self.batch_size < LEAST_ROWS * self.num_processes:
            raise ValueError(
                text(
                    "num_processes %(processes)s leaves each fewer than %(least)s of batch_size %(batch)s rows: ask "
                    "for at most %(most)s, or raise batch_size",
                    processes=self.num_processes,
                    least=LEAST_ROWS,
                    batch=self.batch_size,
                    most=max(1, self.batch_size // LEAST_ROWS),
                )
            )
        return self
