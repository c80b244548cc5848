"""What a run says while it works: one JSON object a line on stdout, then rows in the database.

ml writes most; the worker writes `printed`, `measured`, `returned` and `cancelled`, and for a dead child `crashed`
or `failed`.
The first field of each line, `type`, tells which event it is.
"""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from ml.contract.hardware import Hardware
from ml.contract.job import RunKind
from ml.contract.leaks import Check, Verdict
from ml.contract.scores import Scores
from ml.contract.strict import MOST, Strict, Whole

#: how the names of files begin that a training is saved in
CHECKPOINT = "checkpoint-"


class Started(Strict):
    """First event: where and with what the run works."""

    type: Literal["started"] = "started"
    device: str
    device_name: str
    threads: Whole
    code_version: str
    python: str
    torch: str
    transformers: str


class Log(Strict):
    """A line for the person who reads the run's page."""

    type: Literal["log"] = "log"
    level: Literal["info", "warning", "error"] = "info"
    message: str


class Printed(Strict):
    """Lines that the trainer and its libraries wrote to stderr; the worker reads them. `left_out`: bytes of them that
    were dropped before these lines, since there were so many."""

    type: Literal["printed"] = "printed"
    lines: tuple[str, ...]
    left_out: int = Field(0, ge=0, le=MOST)


class DataRead(Strict):
    """What was read, and the split by its hash. `split_sha256` is of the sorted row numbers of the valid part.

    `trained_rows`: what this run trains on, after augmentation (pretraining: examples of all files).
    `contradictions`: pairs whose labels contradict each other by the closure of the positives.
    """

    type: Literal["data_read"] = "data_read"
    unit: Literal["ids", "characters", "words"]
    train_rows: Whole
    valid_rows: Whole
    test_rows: Whole
    vocab_size: Whole
    unknown_rate: float
    components: Whole
    largest_component_rows: Whole
    trained_rows: Whole = 0
    contradictions: Whole = 0
    split_sha256: str


class Audited(Strict):
    """The leak audit of the split, before training: its verdict, and each check with its worst example. The whole
    report is the artifact leaks.json."""

    type: Literal["audited"] = "audited"
    verdict: Verdict
    checks: tuple[Check, ...]
    seconds: float


class Progress(Strict):
    """Where training stands. `loss` is the mean since the last progress event; `seconds_left` is of this stage.

    `tokens_per_second`: real ones, padding is not counted. `model_flops_utilization`: operations that the model needs
    by formula (ml.flops), over what this device did in a plain matrix product of the same precision when the training
    began. `peak_memory_bytes`: of the process, on a GPU of its tensors. None: told by an older version.
    """

    type: Literal["progress"] = "progress"
    stage: RunKind
    step: Whole
    total_steps: Whole
    epoch: float
    loss: float
    learning_rate: float
    samples_per_second: float
    seconds_left: float
    tokens_per_second: float | None = None
    model_flops_utilization: float | None = None
    peak_memory_bytes: Whole | None = None


class Measured(Strict):
    """How busy the machine is that the run works on; the worker writes it now and then."""

    type: Literal["measured"] = "measured"
    hardware: Hardware


class Evaluated(Strict):
    """Valid scores on the way, after a pass of finetuning."""

    type: Literal["evaluated"] = "evaluated"
    epoch: float
    scores: Scores


class Artifact(Strict):
    """A file that the run made. `path` is relative to the out folder; the worker carries it before the event."""

    type: Literal["artifact"] = "artifact"
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    path: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0, le=MOST)


class Checkpointed(Strict):
    """The training's whole state was saved, to go on from. `path` and the file as in Artifact; one that is gone before
    the worker came to it was followed by a newer one."""

    type: Literal["checkpointed"] = "checkpointed"
    step: int = Field(ge=1, le=MOST)
    total_steps: int = Field(ge=1, le=MOST)
    name: str = Field(pattern=rf"^{CHECKPOINT}\d+\.safetensors$")
    path: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0, le=MOST)


class Resumed(Strict):
    """The training goes on from a checkpoint: what comes before this step is not done again."""

    type: Literal["resumed"] = "resumed"
    step: int = Field(ge=1, le=MOST)
    total_steps: int = Field(ge=1, le=MOST)


class SwapConsistency(Strict):
    """What exchanging the two sentences changes: mean |p(a, b) - p(b, a)| over these valid rows, and the AUC of p(b, a)
    on them."""

    rows: Whole
    difference: float
    roc_auc: float


class Verified(Strict):
    """A fresh process loaded the checkpoint and its predictions were the same to the bit. `swap`: None where nothing
    was held out."""

    type: Literal["verified"] = "verified"
    rows: Whole
    predictions_sha256: str
    swap: SwapConsistency | None = None


class Scored(Strict):
    """The final scores of a split; for a trained model only ever sent after `verified`.

    `interval`: of the AUC, 95%, by bootstrap over the components. `members`: of each training or fold that a blend is
    made of.
    """

    type: Literal["scored"] = "scored"
    split: Literal["train", "valid"]
    rows: Whole
    scores: Scores
    interval: tuple[float, float] | None = None
    members: tuple[Scores, ...] = ()


class Finished(Strict):
    """Last event of a run that did all it was asked for."""

    type: Literal["finished"] = "finished"
    seconds: float


class Failed(Strict):
    """Last event of a run that could not. `reason` is one sentence for a person; `detail` the traceback or log tail."""

    type: Literal["failed"] = "failed"
    reason: str
    detail: str = ""


class Crashed(Strict):
    """Last event of an attempt whose trainer, or a process of its, was killed by a signal (out of memory, a fault of
    the hardware or of a library): the run is tried again, as often as it may lose a worker."""

    type: Literal["crashed"] = "crashed"
    reason: str
    detail: str = ""


class Returned(Strict):
    """Last event of an attempt whose worker stops: the run goes back to the queue."""

    type: Literal["returned"] = "returned"
    reason: str


class Cancelled(Strict):
    """Last event of an attempt that a person stopped."""

    type: Literal["cancelled"] = "cancelled"


Event = Annotated[
    Started
    | Log
    | Printed
    | DataRead
    | Audited
    | Progress
    | Measured
    | Evaluated
    | Artifact
    | Checkpointed
    | Resumed
    | Verified
    | Scored
    | Finished
    | Failed
    | Crashed
    | Returned
    | Cancelled,
    Field(discriminator="type"),
]
EVENT: TypeAdapter[Event] = TypeAdapter(Event)
LAST_EVENTS = (Finished, Failed, Crashed, Returned, Cancelled)


class EventBatch(Strict):
    """Consecutive events of one attempt. `first` is the number of events[0]; numbers start at 1. Empty: a heartbeat.

    `waited_seconds`: how long events[0] has waited on the worker's disk.
    """

    first: int = Field(ge=1, le=MOST)
    events: tuple[Event, ...] = ()
    waited_seconds: float = Field(0.0, ge=0, allow_inf_nan=False)


class EventAnswer(Strict):
    """The app's answer: how far the attempt's events are stored, and whether to go on."""

    stored: Whole
    stop: bool
