"""The leak audit of what a run is about to train on. Called by prepare; the audit itself is ml.leaks."""

from pathlib import Path

from ml.audit import parts
from ml.checkpoint import write_text
from ml.contract.events import Audited
from ml.contract.job import Job
from ml.contract.leaks import REPORT, summary
from ml.leaks import Part, audit
from ml.pairs import Pairs, lines_of
from ml.split import Split
from ml.teller import Tell, log


def audit_split(
    pairs: Pairs, learnt: Pairs, split: Split, test: Pairs | None, folder: Path, job: Job, out: Path, tell: Tell
) -> list[str]:
    """Audit what a run is about to train on; write the report into `out` and tell its sum. Returns its file's name."""
    if not len(split.valid_rows):
        return []
    lines = [lines_of(folder, item, role) for role in ("train", "test") for item in job.inputs_of(role)]
    both = parts(pairs, learnt, split, lines[0])
    other = Part(test, lines[1]) if test is not None else None
    report = audit(*both, other, train_rows=len(split.train_rows), groups=split.groups)
    write_text(out / REPORT, report.model_copy(update={"seconds": 0.0}).model_dump_json())
    tell(Audited(verdict=report.verdict, seconds=report.seconds, checks=summary(report)))
    for check in report.checks:
        if check.level in {"suspicious", "leaking"}:
            log(tell, f"leak audit: {check.name}: {check.count} of {check.of} valid rows ({check.level})", "warning")
    return [REPORT]
