"""What a person asks of the queue for an experiment: not what is trained, but when, where, and at what price.

Called by the form, the REST API and graph. No part of any fingerprint.
"""

import hashlib
import json
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.config_errors import field_errors, in_one_sentence
from app.errors import FieldError, Refused
from app.runs.models import Run
from ml.contract.experiment import ExperimentConfig
from ml.contract.job import RunKind
from ml.contract.training_config import Phase

PRIORITIES = {"urgent": 10, "normal": 0, "low": -10}
QueueName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,60}$")]
Priority = Annotated[int, Field(ge=-100, le=100)]


class Placement(BaseModel):
    """The same for every run of an experiment. `max_hours` counts all attempts at a run together."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    queue: QueueName = Field("pairboard", description="only workers that listen on it take the runs")
    priority: Priority = Field(0, description="the highest goes first")
    max_attempts: int = Field(5, ge=1, le=100, description="lost workers after which a run ends as failed")
    max_hours: float | None = Field(None, gt=0, le=10_000, description="a run that works longer ends as failed")
    gpu_memory_gb: float | None = Field(None, gt=0, le=10_000, description="goes to workers whose card has as much")

    def on(self, queue: str) -> "Placement":
        """The same on this queue, if none was named."""
        return self if "queue" in self.model_fields_set else self.model_copy(update={"queue": queue})

    def columns(self) -> dict[str, Any]:
        """The columns of a run that hold it."""
        return {
            "queue": self.queue,
            "priority": self.priority,
            "max_attempts": self.max_attempts,
            "max_seconds": self.max_hours * 3600 if self.max_hours is not None else None,
            "gpu_memory_gb": self.gpu_memory_gb,
        }


def placement_of(values: dict[str, Any], queue: str) -> Placement:
    """A checked placement; `queue` unless another is named. Raises Refused that names each field, value and bound."""
    try:
        return Placement.model_validate({"queue": queue, **values})
    except ValidationError as error:
        problems = [FieldError(f"placement.{item.field}", item.message, item.value) for item in field_errors(error)]
        raise Refused(in_one_sentence(problems), problems) from error


def placement_of_run(run: Run) -> Placement:
    """What was asked for a run."""
    hours = run.max_seconds / 3600 if run.max_seconds is not None else None
    return Placement(
        queue=run.queue,
        priority=run.priority,
        max_attempts=run.max_attempts,
        max_hours=hours,
        gpu_memory_gb=run.gpu_memory_gb,
    )


def passes_of(config: ExperimentConfig, kind: RunKind) -> float:
    """How often a run goes through its data; once for a blend, and for a training that a step or a minute ends."""
    stage = {"pretrain": config.pretrain, "finetune": config.finetune}.get(kind)
    return float(stage.num_train_epochs) if stage is not None and _by_passes(stage) else 1.0


def _by_passes(stage: Phase) -> bool:
    return not stage.max_steps and not stage.max_minutes


def likeness_of(config: ExperimentConfig, kind: RunKind, file_ids: tuple[int | None, ...]) -> str:
    """Equal for runs that take equally long a pass: the same data, model and recipe, but for passes and seed."""
    plain = config.model_dump(mode="json")
    parts: dict[str, Any] = {name: plain[name] for name in ("data", "tokens", "encoder", "augment")}
    stage = {"pretrain": config.pretrain, "finetune": config.finetune}.get(kind)
    if stage is not None:
        free = {"learning_rate": None} | ({"num_train_epochs": None} if _by_passes(stage) else {})
        parts["stage"] = {**stage.model_dump(mode="json"), **free}
    text = json.dumps([kind, file_ids, parts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
