"""Which experiment a score is of, when a program names it by the hash of its file, or by name or number.

Called by the REST API, the command and the CSV import.
"""

import difflib
import re
from dataclasses import replace

from sqlalchemy.orm import Session

from app.contests.models import Contest
from app.errors import Conflict, FieldError, NotFound, Refused
from app.experiments import queries as experiment_queries
from app.experiments.models import Experiment, Score
from app.language import gettext as _
from app.submissions import queries, service
from app.submissions.service import OnlineScore
from app.submissions.stored import PREDICTIONS_OF_TEST

SHORTEST_HASH = 8
_NEAR = 5


def resolve(session: Session, contest: Contest, *, sha256: str = "", experiment: str = "") -> tuple[Experiment, str]:
    """The contest's experiment, and the whole hash of the file where one was told. Raises Refused when neither is said
    or both say different things, NotFound with what is near, Conflict that lists the numbers."""
    if not sha256.strip() and not experiment.strip():
        message = _("say of what it is: file_sha256, or experiment by name or number")
        raise Refused(message, [FieldError("experiment", message), FieldError("file_sha256", message)])
    named = by_name(session, contest, experiment) if experiment.strip() else None
    if not sha256.strip():
        assert named is not None  # noqa: S101 - one of them is said
        return named, ""
    whole, hashed = by_hash(session, contest, sha256, named)
    if named is not None and hashed.id != named.id:
        told = {"sha256": whole[:12], "hashed": hashed.id, "name": repr(experiment), "named": named.id}
        message = _("the file %(sha256)s is of experiment %(hashed)s, but %(name)s is %(named)s", **told)
        raise Refused(message, [FieldError("file_sha256", message, sha256)])
    return hashed, whole


def post(
    session: Session, contest: Contest, score: OnlineScore, *, sha256: str, experiment: str, key: str | None
) -> tuple[Score, bool]:
    """Append the score to the experiment that is meant; one that names a submission, or what it corrects, means that
    one's. A key is of the contest here: with another experiment it is a Conflict. Raises as resolve and
    post_online_score do."""
    queries.lock_contest(session, contest)
    implied = None if sha256.strip() or experiment.strip() else _implied(session, contest, score)
    found, whole = (implied, "") if implied else resolve(session, contest, sha256=sha256, experiment=experiment)
    if key and (others := queries.keys_elsewhere(session, contest.id, found.id, key)):
        told = {"key": repr(key), "ids": ", ".join(map(str, others))}
        raise Conflict(_("Idempotency-Key %(key)s was used for experiment %(ids)s: send a new key", **told))
    return service.post_online_score(session, found, replace(score, sha256=whole), key=key)


def _implied(session: Session, contest: Contest, score: OnlineScore) -> Experiment | None:
    """The contest's experiment whose submission or score is named; None where neither is. Raises NotFound."""
    if score.submission is not None:
        number = queries.submission(session, score.submission).experiment_id
    else:
        old = queries.score(session, score.corrects) if score.corrects is not None else None
        number = old.experiment_id if old else None
    return experiment_queries.chosen(session, contest.id, [number])[0] if number else None


def by_name(session: Session, contest: Contest, name: str) -> Experiment:
    """The contest's experiment of this name or number. Raises NotFound with the near names, Conflict for several."""
    name = name.strip()
    found = queries.named(session, contest.id, name)
    number = re.fullmatch(r"#?(\d{1,18})", name, re.ASCII)
    names = {} if found else queries.names(session, contest.id)
    if not found and number and int(number[1]) in names:
        found = [int(number[1])]
    if len(found) == 1:
        return experiment_queries.experiment(session, found[0])
    if found:
        told = {"name": repr(name[:60]), "ids": ", ".join(map(str, found))}
        message = _("%(name)s is the name of the experiments %(ids)s: name it by its number", **told)
        raise Conflict(message, [FieldError("experiment", message, name[:200])])
    near = difflib.get_close_matches(name, dict.fromkeys(names.values()), _NEAR, 0.5)
    told = {"contest": contest.slug, "name": repr(name[:60]), "near": ", ".join(map(repr, near))}
    message = (
        _("contest %(contest)s has no experiment %(name)s; near are %(near)s", **told)
        if near
        else _("contest %(contest)s has no experiment %(name)s", **told)
    )
    raise NotFound(message, [FieldError("experiment", message, name[:200])])


def by_hash(session: Session, contest: Contest, sha256: str, named: Experiment | None = None) -> tuple[str, Experiment]:
    """The whole hash, and the experiment whose file has it; the begin of a hash will do. `named`: who is meant where
    several sent the same bytes, or where nobody here knows the file. Raises Refused, NotFound, Conflict."""
    begin = sha256.strip().lower()
    if not re.fullmatch(rf"[0-9a-f]{{{SHORTEST_HASH},64}}", begin):
        told = {"sha256": repr(sha256.strip()[:70]), "shortest": SHORTEST_HASH}
        message = _("%(sha256)s is no SHA-256: 64 digits of 0-9 and a-f, or the first %(shortest)s at least", **told)
        raise Refused(message, [FieldError("file_sha256", message, sha256[:70])])
    found = queries.with_hash(session, contest.id, begin, PREDICTIONS_OF_TEST)
    owners = {number for numbers in found.values() for number in numbers}
    if named is not None and (named.id in owners or (not found and len(begin) == 64)):
        return next((whole for whole, numbers in found.items() if named.id in numbers), begin), named
    if not found:
        told = {"contest": contest.slug, "sha256": begin[:16]}
        message = _(
            "no experiment of contest %(contest)s has a file whose hash is %(sha256)s…: name the experiment", **told
        )
        raise NotFound(message, [FieldError("file_sha256", message, begin)])
    if len(owners) > 1:
        told = {"sha256": begin[:16], "ids": ", ".join(map(str, sorted(owners)))}
        message = _("the experiments %(ids)s have files whose hash is %(sha256)s…: name the experiment, too", **told)
        raise Conflict(message, [FieldError("file_sha256", message, begin)])
    return next(iter(found)), experiment_queries.experiment(session, owners.pop())
