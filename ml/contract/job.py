"""What a worker is given for one attempt at a run: `job.json`, and the files it names beside it."""

from pathlib import PurePosixPath
from typing import Literal

from pydantic import Field, field_validator

from ml.contract.experiment import ExperimentConfig
from ml.contract.pair_file import PairFileLayout
from ml.contract.strict import Strict
from ml.contract.words import text

RunKind = Literal["pretrain", "finetune", "blend"]
Role = Literal["train", "test", "unlabelled", "pretrained", "member", "teacher", "checkpoint"]


class JobInput(Strict):
    """A file that the job reads. `path` is relative to the folder of job.json."""

    role: Role
    path: str
    name: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0)
    layout: PairFileLayout | None = None
    rows: int | None = None

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, path: str) -> str:
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts or not pure.parts:
            raise ValueError(text("path %(path)r leaves the job's folder: inputs lie beside job.json", path=path))
        return path


class Job(Strict):
    """One attempt at one run. `python -m ml job.json out/` does it, on any machine that holds the inputs.

    role train and test: a pair file with the layout it was accepted with and its count of good rows.
    role unlabelled: pairs to pretrain on, laid out as a test file.
    role pretrained: the files of a finished pretrain run (weights, config, vocabulary), all in one folder.
    role member: predictions and scores that a blend is made of, one folder a member, in order.
    role checkpoint: states that earlier attempts saved, the newest first, to go on from.
    role teacher: the out-of-fold predictions (valid_predictions.tsv) that soft labels come from.
    """

    run_id: int
    attempt: int = Field(ge=1)
    kind: RunKind
    config: ExperimentConfig
    inputs: tuple[JobInput, ...]
    fold: int | None = Field(None, ge=0, description="which fold is held out; null without folds")
    repeat: int = Field(0, ge=0, description="which of the repeats, from 0")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = Field(None, ge=1, description="CPU threads of torch; null: the machine's physical cores")
    checkpoint_seconds: float = Field(60, ge=0, description="between two saves of a training; 0: after each step")
    data_cache: str | None = Field(
        None, description="folder of this machine that keeps a pretrain's tokenised data for the next; null: none"
    )

    def inputs_of(self, role: Role) -> tuple[JobInput, ...]:
        """The inputs with this role, in order."""
        return tuple(item for item in self.inputs if item.role == role)
