"""The one training loop. What is learnt is passed in; called by pretrain and finetune.

Loss is summed on the device and read about once a second: reading it at every step would make a GPU wait.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ml import optim, parallel, resume, stopping
from ml.adversarial import add_adversarial_gradients
from ml.averaging import Keeper
from ml.batches import steps_per_epoch, training_plan
from ml.contract.events import Checkpointed, Resumed
from ml.contract.finetune_config import FinetuneConfig
from ml.contract.job import RunKind
from ml.contract.training_config import Phase
from ml.lean import speed_up
from ml.machine import Machine
from ml.meter import Meter
from ml.pairs import Rows
from ml.resume import Saves
from ml.teller import Tell, log

SAVES_COST = 50.0  # times the seconds that a checkpoint took pass before the next: 2% at most
STEPS_BETWEEN_LOOKS = 20  # at the clock, where several processes must agree on the answer


class Objective(Protocol):
    """What is learnt: a batch is drawn once, and its loss may be asked for several times (adversarial training)."""

    generators: dict[str, torch.Generator]

    def batch(self, rows: Rows) -> Any:
        """Tensors of these rows, with all that is random about them."""

    def loss(self, batch: Any) -> Tensor:
        """Mean loss, a scalar that can be differentiated."""


@dataclass(frozen=True, slots=True)
class Course:
    """A training to do: which stage, over rows of which lengths, with which numbers, and the seed of their order.

    `saves`: how it is saved on the way, or None to do without.
    """

    stage: RunKind
    lengths_N: Rows
    phase: Phase
    seed: int
    saves: Saves | None = None

    @property
    def epoch_steps(self) -> int:
        """Steps of one pass."""
        return steps_per_epoch(len(self.lengths_N), self.phase.batch_size)

    @property
    def total_steps(self) -> int:
        """Steps in all; part of a pass is rounded up to whole steps."""
        if self.phase.max_steps:
            return self.phase.max_steps
        return max(1, math.ceil(self.phase.num_train_epochs * self.epoch_steps - 1e-9))

    @property
    def evaluation_steps(self) -> int:
        """Steps between two evaluations."""
        times = self.phase.evaluations_per_epoch if isinstance(self.phase, FinetuneConfig) else 1
        return max(1, self.epoch_steps // times)


@dataclass(slots=True)
class Standing:
    """Where a training stands, beyond weights and optimizer."""

    step: int = 0
    seconds: float = 0.0  # of training, evaluations left out
    plateau_scale: float = 1.0
    best: float | None = None
    bad: int = 0  # evaluations since the best one
    plateau_best: float | None = None
    plateau_bad: int = 0

    def judge(self, value: float) -> None:
        """Note a value, of which more is better."""
        better = self.best is None or value > self.best
        self.best, self.bad = (value, 0) if better else (self.best, self.bad + 1)

    def plateau(self, value: float, phase: Phase) -> None:
        """ReduceLROnPlateau: the rate falls after more than `plateau_patience` values that are no better."""
        if self.plateau_best is None or value > self.plateau_best:
            self.plateau_best, self.plateau_bad = value, 0
            return
        self.plateau_bad += 1
        if self.plateau_bad > phase.plateau_patience:
            self.plateau_scale *= phase.plateau_factor
            self.plateau_bad = 0


@dataclass(slots=True)
class Training:
    """All that moves while a training runs."""

    model: nn.Module
    objective: Objective
    course: Course
    machine: Machine
    tell: Tell
    evaluate: Callable[[float], float | None] | None = None  # epochs done -> valid AUC, None without a valid part
    keeper: Keeper | None = None
    optimizer: optim.Optimizer = field(init=False)
    meter: Meter = field(init=False)
    at: Standing = field(default_factory=Standing)
    saved_at: float = field(default_factory=time.perf_counter)
    save_seconds: float = 0.0  # that the last save took
    loss: Callable[[Any], Tensor] = field(init=False)  # the objective's; its backward averages over the processes

    def __post_init__(self) -> None:
        asked = self.course.phase.precision
        self.machine = replace(self.machine, bf16=self.machine.bf16 if asked == "auto" else asked == "bfloat16")
        self.optimizer = optim.make_optimizer(self.model, self.course.phase)
        self.meter = Meter(
            self.course.stage, self.course.total_steps, self.course.epoch_steps, self.machine, self.model, self.tell
        )
        self.loss = parallel.loss_of(self.objective)


def train(training: Training) -> None:
    """Run the whole course: forward, backward, adversarial, clip, step, evaluate.

    Goes on from the course's checkpoint if there is one. Stops at the last step, at the time budget, or early.
    Raises RunError when the loss is not finite or runs away, and Stopped, with a checkpoint, after SIGTERM.
    """
    course, at = training.course, training.at
    speed_up(training.model, training.machine)
    _resume(training)
    plan = training_plan(course.lengths_N, course.phase.batch_size, course.seed, at.step)
    training.model.train()
    with stopping.waits_for_step():
        _take_steps(training, plan)
    training.meter.end(at.step)
    training.loss = training.objective.loss  # DDP's wrapper goes first: without the others it would wait for them
    parallel.leave()


def _take_steps(training: Training, plan: Iterator[Rows]) -> None:
    course, phase, at = training.course, training.course.phase, training.at
    while at.step < course.total_steps:
        at.step += 1
        rows = next(plan)
        where = _where(at, course)
        rate = optim.learning_rate(where, course.total_steps, phase, at.plateau_scale)
        optim.set_rate(training.optimizer, rate)
        loss = _learn(training, rows)
        at.seconds += training.meter.count(at.step, course.lengths_N[rows], loss, rate, where)
        if phase.max_minutes:
            at.seconds = parallel.from_first(at.seconds)
        if training.keeper:
            training.keeper.after_step(where / course.total_steps)
        last = at.step == course.total_steps or _out_of_time(at, phase)
        if at.step % course.evaluation_steps == 0 or last:
            with training.meter.paused():
                _after_part(training, rate)
            training.model.train()
        if last or _stops_early(training):
            break
        if stopping.asked() and course.saves is not None:
            _save(training, course.saves)
            raise stopping.Stopped(f"stopped after step {at.step} of {course.total_steps}, to go on from there")
        _save_now_and_then(training)


def _learn(training: Training, rows: Rows) -> Tensor:
    """One step of the weights; returns the plain loss."""
    phase = training.course.phase
    batch = training.objective.batch(rows)

    def loss_of_batch(of: Callable[[Any], Tensor] = training.loss) -> Tensor:
        with torch.autocast(training.machine.device.type, dtype=torch.bfloat16, enabled=training.machine.bf16):
            return of(batch)

    loss = loss_of_batch()
    loss.backward()
    if phase.adversarial != "none":
        embedding = training.model.get_input_embeddings().weight
        add_adversarial_gradients(embedding, loss_of_batch, lambda: loss_of_batch(training.objective.loss), phase)
    torch.nn.utils.clip_grad_norm_(training.model.parameters(), phase.max_grad_norm)
    training.optimizer.step()
    training.optimizer.zero_grad(set_to_none=True)
    return parallel.over_all(loss)


def _where(at: Standing, course: Course) -> float:
    """The step that the schedule goes by: under a time budget the clock's, if that is further."""
    if not course.phase.max_minutes:
        return at.step
    share = min(1.0, at.seconds / (60 * course.phase.max_minutes))
    return max(float(at.step), share * course.total_steps)


def _out_of_time(at: Standing, phase: Phase) -> bool:
    return bool(phase.max_minutes) and at.seconds >= 60 * phase.max_minutes


def _after_part(training: Training, rate: float) -> None:
    """Evaluate, keep a checkpoint, and move what goes by the value."""
    course, at = training.course, training.at
    value = parallel.from_first(training.evaluate(at.step / course.epoch_steps) if training.evaluate else None)
    if training.keeper:
        training.keeper.after_evaluation(at.step, value)
    mean_loss = training.meter.part_loss()
    if value is not None:
        at.judge(value)
    if course.phase.lr_scheduler_type == "reduce_lr_on_plateau":
        before = at.plateau_scale
        at.plateau(value if value is not None else -mean_loss, course.phase)
        if at.plateau_scale < before:
            log(training.tell, f"nothing better for a while: the learning rate falls from {rate:.3g}")


def _stops_early(training: Training) -> bool:
    phase, at = training.course.phase, training.at
    patience = phase.early_stopping_patience if isinstance(phase, FinetuneConfig) else 0
    if not patience or at.bad < patience:
        return False
    log(training.tell, f"stopped early at step {at.step}: {at.bad} evaluations without a better valid AUC")
    return True


def _save_now_and_then(training: Training) -> None:
    """Write a checkpoint if it is time."""
    saves = training.course.saves
    if saves is None or (parallel.size() > 1 and training.at.step % STEPS_BETWEEN_LOOKS):
        return
    pause = saves.seconds and max(saves.seconds, SAVES_COST * training.save_seconds)
    if parallel.from_first(time.perf_counter() - training.saved_at >= pause):
        _save(training, saves)


def _save(training: Training, saves: Saves) -> None:
    """Write a checkpoint, and tell it; the clock of the training stands still meanwhile."""
    course, begin = training.course, time.perf_counter()
    with training.meter.paused():
        tensors = {f"model/{name}": value for name, value in training.model.state_dict().items()}
        tensors |= {f"optimizer/{name}": value for name, value in optim.state_of(training.optimizer).items()}
        random = resume.random_states(training.objective.generators, training.machine.device)
        tensors |= random | parallel.gathered(random)
        tensors |= {f"meter/{name}": value for name, value in training.meter.state().items()}
        facts: dict[str, Any] = {"job": saves.key, **{name: getattr(training.at, name) for name in Standing.__slots__}}
        if training.keeper:
            means, facts["keeper"] = training.keeper.state()
            tensors |= {f"keeper/{name}": value for name, value in means.items()}
        if parallel.rank() == 0:
            path, sha256 = resume.save(saves.folder, resume.State(tensors, facts))
            training.tell(
                Checkpointed(
                    step=training.at.step,
                    total_steps=course.total_steps,
                    name=path.name,
                    path=path.name,
                    sha256=sha256,
                    size=path.stat().st_size,
                )
            )
    training.saved_at = time.perf_counter()
    training.save_seconds = training.saved_at - begin


def _resume(training: Training) -> None:
    """Put back the state of the course's newest checkpoint, if there is one of this job."""
    course, at = training.course, training.at
    state = resume.load(course.saves.folder, course.saves.key) if course.saves else None
    if state is None:
        return
    training.model.load_state_dict(state.part("model"))
    optim.restore(training.optimizer, state.part("optimizer"))
    own = state.part(f"process-{parallel.rank()}") if parallel.rank() else state.tensors
    resume.restore_random(resume.State(own, state.facts), training.objective.generators, training.machine.device)
    for name in Standing.__slots__:
        setattr(at, name, state.facts[name])
    training.meter.restore(state.part("meter"), at.seconds)
    if training.keeper:
        training.keeper.restore(state.part("keeper"), state.facts["keeper"])
    training.tell(Resumed(step=at.step, total_steps=course.total_steps))
