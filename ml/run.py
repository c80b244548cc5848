"""One run, from job.json to its last event. This file is the table of contents; each stage is a module.

Called by `python -m ml`.
"""

import time
from pathlib import Path

import numpy as np
from pydantic import ValidationError
from transformers import BertForMaskedLM, BertForSequenceClassification

from ml.checkpoint import save, write_text
from ml.contract.events import Finished, Scored
from ml.contract.job import Job
from ml.errors import RunError
from ml.finetune import finetune
from ml.machine import Machine, set_up, started
from ml.metrics import scores
from ml.pair_model import build_model
from ml.predict import predict
from ml.prepare import Prepared, prepare
from ml.pretrain import pretrain
from ml.teller import Tell, tell_artifacts
from ml.verify import Predictions, verify


def run(job_path: Path, out: Path, tell: Tell) -> None:
    """Do what `job_path` asks, write artifacts into `out`, tell events. Raises RunError when it cannot be done."""
    begin = time.perf_counter()
    job = read_job(job_path)
    out.mkdir(parents=True, exist_ok=True)
    machine = set_up(job)
    tell(started(machine))
    data = prepare(job_path.parent, job, tell)
    if job.kind == "pretrain":
        _pretrain(job, data, machine, out, tell)
    else:
        _finetune(job_path, job, data, machine, out, tell)
    tell(Finished(seconds=time.perf_counter() - begin))


def read_job(path: Path) -> Job:
    """The job in `path`. Raises RunError when it is missing or not a job."""
    try:
        return Job.model_validate_json(path.read_bytes())
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror}): give the path of a job.json") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise RunError(f"{path} is not a job: {where}: {first['msg']}") from error


def _pretrain(job: Job, data: Prepared, machine: Machine, out: Path, tell: Tell) -> None:
    phase = job.config.pretrain
    if phase is None:
        raise RunError("the job is a pretrain, but its config has no pretrain: set pretrain, or make it a finetune")
    model = build_model(BertForMaskedLM, job.config, data.tokens, data.start, machine.device)
    pretrain(model, data.train, data.tokens, phase, job.config.seed, machine, tell)
    tell_artifacts(tell, out, save(out, model, data.tokens, job, data.split))


def _finetune(job_path: Path, job: Job, data: Prepared, machine: Machine, out: Path, tell: Tell) -> None:
    train_labels_N = data.pairs.labels_N[data.split.train_rows]
    valid_labels_N = data.pairs.labels_N[data.split.valid_rows]
    model = build_model(BertForSequenceClassification, job.config, data.tokens, data.start, machine.device)
    valid = (data.valid, valid_labels_N)
    finetune(model, data.train, train_labels_N, valid, job.config.finetune, job.config.seed, machine, tell)

    names = save(out, model, data.tokens, job, data.split)
    train_N = predict(model, data.train, machine.device)
    ours = Predictions(
        predict(model, data.valid, machine.device),
        None if data.test is None else predict(model, data.test, machine.device),
    )
    tell_artifacts(tell, out, names + _write_predictions(out, data, valid_labels_N, ours))

    tell(verify(job_path, out, ours))
    tell(Scored(split="train", rows=len(train_N), scores=scores(train_labels_N, train_N)))
    tell(Scored(split="valid", rows=len(ours.valid_N), scores=scores(valid_labels_N, ours.valid_N)))


def _write_predictions(out: Path, data: Prepared, labels_N: np.ndarray, ours: Predictions) -> list[str]:
    """valid_predictions.tsv (row number, label, probability) and test_predictions.tsv (probability); no header.

    repr of a float has all its decimals: a rounded file makes ties, and ties cost AUC.
    """
    rows = zip(data.split.valid_rows.tolist(), labels_N.tolist(), ours.valid_N.tolist(), strict=True)
    write_text(out / "valid_predictions.tsv", "".join(f"{row}\t{label}\t{p!r}\n" for row, label, p in rows))
    if ours.test_N is None:
        return ["valid_predictions.tsv"]
    write_text(out / "test_predictions.tsv", "".join(f"{p!r}\n" for p in ours.test_N.tolist()))
    return ["valid_predictions.tsv", "test_predictions.tsv"]
