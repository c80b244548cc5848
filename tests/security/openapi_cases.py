"""What tests/security/openapi.py sends: schemathesis draws it from /openapi.json, fitting and not fitting; much of it
is then led to rows that are there, with bodies that say something, or it would hardly get beyond 404 and 422.
"""

import json
import random
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase
from requests import PreparedRequest, Request
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.config import SchemathesisConfig
from schemathesis.openapi import from_dict

from tests.factories import TINY, pair_text
from tests.security.openapi_house import ROWS, WORKER

#: callers by whom a case is sent that was drawn once
SENT_BY = 4
#: of the cases, those whose address is led to real rows; of these, those whose body is
REAL, SOUND = 0.7, 0.6
#: parameters and fields that mean the same row
_MEANS = {
    "first": "experiment_id",
    "second": "experiment_id",
    "experiment": "experiment_id",
    "parent_id": "experiment_id",
    "run": "run_id",
    "busy_run_id": "run_id",
    "submission": "submission_id",
    "corrects": "score_id",
    "file_sha256": "sha256",
    "train_file_id": "file_id",
    "test_file_id": "file_id",
    "contest": "slug",
}
#: what may stand for a parameter that names no row
_WORDS: dict[str, list[Any]] = {
    "ids": ["1,2", "1", "1,2,3", "6"],
    "series": ["loss", "learning_rate"],
    "after": ["1:1:1", "3:1:0"],
    "sort": ["-valid", "id"],
    "against": ["1", "2"],
    "search": ["row", "1"],
    "q": ["row", "first"],
    "part": ["valid"],
    "kind": ["finetune"],
    "board": ["A"],
    "group": ["seed"],
    "name": ["mine", "w1", "night", "pairboard", "valid_predictions.tsv", "test_predictions.tsv"],
}
_NEW = {"name": "drawn", "config": {**TINY, "pretrain": None}}
_PAIRS = pair_text(20, seed=9).encode()
_ANSWERS = b"0.25\n0.5\n0.75\n" * (ROWS // 3)
_ROW_IDS = {"ids": [1, 2]}
#: a body for each operation that takes one
BODIES: dict[str, Any] = {
    "POST /api/v1/me/password": {"old": "correct horse battery", "new": "battery horse correct"},
    "POST /api/v1/tokens": {"name": "t", "scopes": ["read"], "days": 3},
    "POST /api/v1/members": {"name": "new", "password": "correct horse battery"},
    "PATCH /api/v1/members/{member_id}": {"role": "member", "left": False},
    "POST /api/v1/invitations": {"role": "member", "contest": "oppo", "note": "for a friend"},
    "PUT /api/v1/contests/{slug}/members/{member_id}": {"role": "viewer"},
    "PUT /api/v1/contests/{slug}/private": {"private": True},
    "POST /api/v1/contests": {"name": "Another", "metric": "roc_auc", "slug": "another", "note": "*one*"},
    "POST /api/v1/contests/{slug}/files": {"file": _PAIRS, "kind": "train"},
    "POST /api/v1/contests/{slug}/audits": {"config": {"data": {"valid_fraction": 0.2}}},
    "POST /api/v1/contests/{slug}/experiments/preview": _NEW,
    "POST /api/v1/contests/{slug}/experiments/sweep": {**_NEW, "values": {"seed": [7, 8]}},
    "POST /api/v1/contests/{slug}/experiments": _NEW,
    "PATCH /api/v1/experiments/{experiment_id}": {"name": "named", "note": "**n**", "verdict": "good"},
    "POST /api/v1/experiments/{experiment_id}/online-scores": {"value": 0.7, "note": "n", "board": "A"},
    "POST /api/v1/contests/{slug}/online-scores": {"value": 0.7, "experiment": 1, "time": "2026-11-27"},
    "POST /api/v1/contests/{slug}/online-scores/csv": {"file": b"experiment,value\n1,0.7\n2,0.6\n"},
    "PATCH /api/v1/contests/{slug}/quota": {"time_zone": "UTC", "submissions_a_day": 3},
    "POST /api/v1/experiments/{experiment_id}/submissions": {"status": "sent", "board": "A", "anyway": True},
    "POST /api/v1/contests/{slug}/file-check": {"file": _ANSWERS, "experiment_id": 1, "board": "A"},
    "POST /api/v1/experiments/{experiment_id}/submissions/file": {"file": _ANSWERS, "board": "A", "anyway": True},
    "POST /api/v1/experiments/{experiment_id}/predictions": {"valid": b"0\t1\t0.7\n4\t0\t0.2\n", "test": _ANSWERS},
    "POST /api/v1/submissions/{submission_id}/send": {"board": "A", "anyway": True},
    "POST /api/v1/submissions/{submission_id}/withdraw": {"why": "a typo"},
    "POST /api/v1/contests/{slug}/selection": {**_ROW_IDS, "action": "tag", "tag": "good"},
    "POST /api/v1/contests/{slug}/blend": {**_ROW_IDS, "method": "mean"},
    "PUT /api/v1/contests/{slug}/views/{name}": {"sort": "-valid", "search": "row"},
    "POST /api/v1/contests/{slug}/trash": {"ids": [6, 1]},
    "POST /api/v1/contests/{slug}/trash/weigh": _ROW_IDS,
    "POST /api/v1/contests/{slug}/trash/undo": {"ids": [6]},
    "POST /api/v1/contests/{slug}/trash/empty": {"with_scores": [6]},
    "POST /api/v1/runs/{run_id}/claim": WORKER,
    "POST /api/v1/runs/{run_id}/events": {"first": 2, "events": [{"type": "log", "message": "so far"}]},
    "PATCH /api/v1/runs/{run_id}": {"queue": "night", "priority": 3, "max_hours": 2},
    "POST /api/v1/runs/{run_id}/uploads": {"name": "x.txt", "sha256": "0" * 64, "size": 3},
    "PATCH /api/v1/runs/{run_id}/uploads/{sha256}": b"abc",
    "PUT /api/v1/contests/{slug}/submission-format": {"columns": ["id", "probability"], "header": ["id", "p"]},
    "POST /api/v1/contests/{slug}/submission-format/preview": {"separator": "comma", "zipped": True},
    "POST /api/v1/contests/{slug}/sealed": {"answers": b"0\n1\n" * (ROWS // 2), "public_share": "0.4"},
    "PATCH /api/v1/contests/{slug}/sealed": {"uploads_a_day": 5, "closes_at": "2030-01-01T00:00:00+08:00"},
    "POST /api/v1/contests/{slug}/sealed/uploads": {"file": b"0.25\n0.5\n0.75\n" * (ROWS // 3), "experiment_id": 1},
    "POST /api/v1/queue/cancel": {"queue": "night"},
    "PUT /api/v1/queues/{name}/pause": {"reason": "backup"},
    "POST /api/v1/runs/{run_id}/move": {"to": "front"},
    "POST /api/v1/workers/heartbeat": {**WORKER, "busy_run_id": 3, "queues": ["night"]},
    "POST /api/v1/workers/claim": {**WORKER, "queues": ["pairboard"]},
    "PATCH /api/v1/workers/{name}": {"draining": True},
    "POST /api/v1/contests/{slug}/webhooks": {"url": "https://93.184.216.36/", "events": ["score.best"]},
    "PATCH /api/v1/contests/{slug}/webhooks/{webhook_id}": {"on": False},
}


def operations(document: dict[str, Any]) -> list[APIOperation]:
    """Of an OpenAPI document."""
    return [found.ok() for found in from_dict(document, config=SchemathesisConfig()).get_all_operations()]


def seeded(*parts: object) -> int:
    """A number from words: the same in every process."""
    return zlib.crc32(json.dumps(parts).encode())


def drawn(operation: APIOperation, count: int, seed: int) -> Iterator[Case]:
    """So many cases, a half of them not as the document wants it. What takes nothing is called again and again."""
    for mode, share in _modes(operation, count):
        found = _cases(operation, mode, -(-share // SENT_BY), seed)
        for number in range(share):
            yield found[number % len(found)]


def _modes(operation: APIOperation, count: int) -> list[tuple[GenerationMode, int]]:
    texts_alone = all(part.definition["schema"].get("type") == "string" for part in operation.path_parameters)
    if texts_alone and not (operation.query or operation.headers or operation.body):
        return [(GenerationMode.POSITIVE, count)]  # nothing that is sent could be wrong
    return [(GenerationMode.POSITIVE, count - count // 2), (GenerationMode.NEGATIVE, count // 2)]


def _cases(operation: APIOperation, mode: GenerationMode, count: int, seed: int) -> list[Case]:
    found: list[Case] = []
    if not count:
        return found

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(operation.as_strategy(generation_mode=mode))
    def collect(case: Case) -> None:
        found.append(case)

    collect()
    return found


def led(case: Case, ids: dict[str, list[Any]], draw: random.Random) -> Case:
    """Perhaps to rows that are there."""
    if draw.random() >= REAL:
        return case
    case = case.derive()

    def known(name: str) -> list[Any]:
        return ids.get(_MEANS.get(name, name)) or _WORDS.get(name, [])

    for name in case.path_parameters:
        if known(name):
            case.path_parameters[name] = draw.choice(known(name))
    for parameter in case.operation.query:
        if known(parameter.name) and draw.random() < 0.6:
            case.query[parameter.name] = draw.choice(known(parameter.name))
    body = BODIES.get(case.operation.label)
    if body is not None and draw.random() < SOUND:
        case.body = _between(body, case.body, known, draw)
        case.media_type = case.operation.body[0].media_type
    return case


def _between(sound: Any, made: Any, known: Callable[[str], list[Any]], draw: random.Random) -> Any:
    """A body that says something, at times with one field as it was drawn, at times with other rows."""
    if not isinstance(sound, dict):
        return sound
    body = {
        name: draw.choice(known(name)) if known(name) and name != "name" and draw.random() < 0.3 else value
        for name, value in sound.items()
    }
    if isinstance(made, dict) and made and draw.random() < 0.5:
        name = draw.choice(sorted(made))
        body[name] = made[name]
    return body


def request_of(case: Case, base_url: str, headers: dict[str, str]) -> PreparedRequest:
    """As it goes over the wire, with the key of who asks and no other."""
    told = case.as_transport_kwargs(base_url=base_url)
    told["headers"] = {
        name: value for name, value in told["headers"].items() if name.lower() not in {"authorization", "cookie"}
    } | headers
    told.pop("cookies", None)
    return Request(**told).prepare()
