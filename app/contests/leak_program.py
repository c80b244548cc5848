"""Starts the leak audit of files, a program of ml's (`python -m ml.audit`), one at a time in each process. Called by
what counts in data files, and by `pairboard audit`."""

import subprocess
import sys
import threading
from collections.abc import Sequence

from app.contests.models import ContestFile
from app.errors import AppError
from app.language import gettext as _
from app.storage import Storage
from ml.contract.leaks import AuditAnswer, AuditAsk, AuditFile, AuditSettings
from ml.contract.pair_file import PairFileLayout

#: a million pairs take about a gigabyte: several at once would be several
_turn = threading.Lock()


def audited(storage: Storage, files: Sequence[ContestFile], asked: str) -> AuditAnswer:
    """Audit the first file, a train file, with settings as JSON; another train file among the rest is the valid part, a
    test file the test."""
    settings = AuditSettings.model_validate_json(asked)
    roles = {"valid" if file.kind == "train" else "test": _file(storage, file) for file in files[1:]}
    return answer(AuditAsk(**dict(settings), train=_file(storage, files[0]), **roles))


def _file(storage: Storage, file: ContestFile) -> AuditFile:
    return AuditFile(
        path=str(storage.existing(file.sha256, file.name)),
        name=file.name,
        layout=PairFileLayout.model_validate(file.layout),
    )


def answer(ask: AuditAsk) -> AuditAnswer:
    """What the program says. Raises AppError when it died."""
    with _turn:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "ml.audit"],
            input=ask.model_dump_json(),
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [""])[-1]
        raise AppError(_("the audit ended with code %(code)s: %(last)s", code=done.returncode, last=last))
    return AuditAnswer.model_validate_json(done.stdout)
