"""One run, from job.json to its last event. This file is the table of contents; each stage is a module.

Called by `python -m ml`.
"""

import tempfile
import time
from pathlib import Path

from pydantic import ValidationError
from transformers import PreTrainedModel

from ml import parallel, resume
from ml.averaging import Weights
from ml.blend import blend
from ml.checkpoint import save_classifier, save_language_model
from ml.contract.events import Event, Finished, Scored
from ml.contract.fingerprint import digest
from ml.contract.job import Job
from ml.errors import RunError
from ml.finetune import finetune
from ml.kept_corpus import Ready
from ml.machine import Machine, set_up, started
from ml.metrics import auc_interval, scores
from ml.pair_model import ElectraPair, PairClassifier, build_classifier, build_language_model
from ml.predict import PairsToScore, predict_mean, scoring_on
from ml.prediction_files import RunScores, write_scores, write_test, write_valid
from ml.prepare import Prepared, lessons, prepare, ready_corpus, to_score, weights_of
from ml.pretrain import pretrain
from ml.seeds import member_seed
from ml.swapped import swap_consistency
from ml.teller import Tell, tell_artifacts
from ml.verify import Predictions, verify


def run(job_path: Path, out: Path, tell: Tell) -> None:
    """Do what `job_path` asks, write artifacts into `out`, tell events. Raises RunError when it cannot be done.

    A training that was stopped goes on from the newest checkpoint in `out` or among the job's inputs, if it is of the
    same job.
    """
    begin = time.perf_counter()
    job = read_job(job_path)
    out.mkdir(parents=True, exist_ok=True)
    machine = set_up(job, together=True)
    for item in job.inputs_of("checkpoint") if not parallel.rank() else ():
        resume.take(out, job_path.parent / item.path, item.sha256)
    parallel.from_first(None)  # the others read what it took
    if parallel.rank():
        _train_along(job_path, job, machine, out)
        return
    tell(started(machine))
    if job.kind == "blend":
        tell_artifacts(tell, out, blend(job_path.parent, job, out, tell))
    else:
        if job.kind == "pretrain":
            _pretrain(job_path.parent, job, machine, out, tell)
        else:
            _finetune(job_path, job, prepare(job_path.parent, job, out, tell), machine, out, tell)
        resume.forget(out)
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


def _saves(job: Job, machine: Machine, out: Path) -> resume.Saves:
    """Checkpoints in `out`, of the same job on the same kind of device; the attempt may be another."""
    here = {"attempt", "device", "threads", "data_cache", "checkpoint_seconds"}
    asked = job.model_dump(mode="json", exclude=here)
    asked["inputs"] = [item for item in asked["inputs"] if item["role"] != "checkpoint"]
    key = digest({"job": asked, "device": machine.device.type})
    return resume.Saves(out, key, job.checkpoint_seconds)


def _train_along(job_path: Path, job: Job, machine: Machine, out: Path) -> None:
    """What another than the first process does: train. The first alone tells, evaluates, scores and saves."""

    def silent(_event: Event) -> None:
        """Nothing: the first process says it."""

    with tempfile.TemporaryDirectory() as name:
        own = Path(name)
        if job.kind == "pretrain":
            _language_model(job_path.parent, job, machine, own, out, silent)
        else:
            _classifier(job_path, job, prepare(job_path.parent, job, own, silent), machine, own, out, silent)


def _language_model(
    folder: Path, job: Job, machine: Machine, own: Path, out: Path, tell: Tell
) -> tuple[PreTrainedModel | ElectraPair, Ready]:
    """Train it; the model, and what it was trained on. `own`: for this process's reports; `out`: for checkpoints."""
    data = ready_corpus(folder, job, own, tell)
    phase, seed = job.config.pretrain, job.config.seed
    assert phase is not None  # noqa: S101 - ready_corpus() looked
    model = build_language_model(job.config, data.tokens, weights_of(job), machine.device, seed)
    pretrain(model, data.corpus, data.tokens, phase, seed, machine, tell, saves=_saves(job, machine, out))
    return model, data


def _pretrain(folder: Path, job: Job, machine: Machine, out: Path, tell: Tell) -> None:
    model, data = _language_model(folder, job, machine, out, out, tell)
    names = save_language_model(out, model, data.tokens, job, data.split)
    tell_artifacts(tell, out, [*names, *data.reports])


def _classifier(
    job_path: Path, job: Job, data: Prepared, machine: Machine, own: Path, out: Path, tell: Tell
) -> tuple[PairClassifier, list[Weights], PairsToScore]:
    """Train it; the model, the weights to predict with, and the valid pairs as they are scored. `own` and `out` as in
    _language_model."""
    seed = member_seed(job.config.seed, job.fold, job.repeat)
    learnt = lessons(data, job_path.parent, job, own, tell)
    held = data.pairs.only(data.split.valid_rows)
    valid = to_score(held, data.tokens, job)
    model, language_model = build_classifier(job.config, data.tokens, data.start, machine.device, seed)
    weights = finetune(
        model,
        language_model,
        learnt,
        (valid, held.labels_N) if len(held) else None,
        data.tokens,
        job.config,
        seed,
        machine,
        tell,
        _saves(job, machine, out),
    )
    return model, weights, valid


def _finetune(job_path: Path, job: Job, data: Prepared, machine: Machine, out: Path, tell: Tell) -> None:
    model, weights, valid = _classifier(job_path, job, data, machine, out, out, tell)
    held = data.pairs.only(data.split.valid_rows)
    train = to_score(data.pairs.only(data.split.train_rows), data.tokens, job)
    labels = [data.pairs.labels_N[rows] for rows in (data.split.train_rows, data.split.valid_rows)]
    names = save_classifier(out, model, weights, data.tokens, job, data.split)
    scoring = scoring_on(machine, job.config.finetune)
    train_N = predict_mean(model, weights, train, scoring)
    test = None if data.test is None else to_score(data.test, data.tokens, job)

    def predicted() -> Predictions:
        return Predictions(
            predict_mean(model, weights, valid, scoring),
            None if test is None else predict_mean(model, weights, test, scoring),
        )

    ours, verified = verify(job_path, out, predicted, tell)
    both_ways = job.config.finetune.swap_at_test
    swap = swap_consistency(model, weights, held, ours.valid_N, data.tokens, scoring, both_ways=both_ways)
    found = RunScores(train=scores(labels[0], train_N), valid=scores(labels[1], ours.valid_N) if len(valid) else None)
    write_valid(out, data.split.valid_rows, labels[1], ours.valid_N)
    write_scores(out, found)
    names += ["valid_predictions.tsv", "scores.json", *data.reports]
    if ours.test_N is not None:
        write_test(out, ours.test_N)
        names.append("test_predictions.tsv")
    tell_artifacts(tell, out, names)
    tell(verified.model_copy(update={"swap": swap}))
    tell(Scored(split="train", rows=len(train_N), scores=found.train))
    if found.valid is not None:
        interval = auc_interval(labels[1], ours.valid_N, data.split.component_N[data.split.valid_rows])
        tell(Scored(split="valid", rows=len(ours.valid_N), scores=found.valid, interval=interval))
