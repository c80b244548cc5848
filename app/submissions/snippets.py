"""The most used call, ready to be pasted: with the reader's own host, numbers and names. Shown by pages."""

import json
import shlex
import uuid
from dataclasses import dataclass
from typing import Any

from app.experiments.models import Experiment

_EXAMPLE: dict[str, Any] = {"value": 0.8778, "board": "A"}


@dataclass(frozen=True)
class Snippets:
    """`curl`: one line; `by_name`: the same to the contest, which finds the experiment; `python` needs nothing but
    Python; `command` is for the machine of the server."""

    curl: str
    by_name: str
    python: str
    command: str


def of_experiment(base: str, slug: str, experiment: Experiment, *, signed_in: bool) -> Snippets:
    """`base`: scheme and host as the reader knows them; `signed_in`: a token is needed."""
    own, contest = f"{base}/api/v1/experiments/{experiment.id}/online-scores", f"{base}/api/v1/contests/{slug}"
    named = {"experiment": experiment.name, **_EXAMPLE}
    return Snippets(
        curl=_curl(own, _EXAMPLE, signed_in=signed_in),
        by_name=_curl(f"{contest}/online-scores", named, signed_in=signed_in),
        python=_python(own, signed_in=signed_in),
        command=f"pairboard score {experiment.id} {_EXAMPLE['value']} --board {_EXAMPLE['board']}",
    )


def of_contest(base: str, slug: str, *, signed_in: bool) -> str:
    """The same by the hash of the file that was sent; `submission.zip` stands for it."""
    token = ' -H "Authorization: Bearer $PAIRBOARD_TOKEN"' if signed_in else ""
    body = '"{\\"value\\": 0.8778, \\"file_sha256\\": \\"$(sha256sum submission.zip | cut -c1-64)\\"}"'
    url = f"{base}/api/v1/contests/{slug}/online-scores"
    return f"curl -X POST {url} -H 'Content-Type: application/json'{token} -d {body}"


def _curl(url: str, body: dict[str, Any], *, signed_in: bool) -> str:
    """A key of its own: pasted twice it is one score."""
    token = ' -H "Authorization: Bearer $PAIRBOARD_TOKEN"' if signed_in else ""
    key = shlex.quote(f"Idempotency-Key: {uuid.uuid4()}")
    data = shlex.quote(json.dumps(body, ensure_ascii=False))
    return f"curl -X POST {url} -H 'Content-Type: application/json' -H {key}{token} -d {data}"


def _python(url: str, *, signed_in: bool) -> str:
    token = '\n    "Authorization": f"Bearer {os.environ[\'PAIRBOARD_TOKEN\']}",' if signed_in else ""
    modules = "json, os, urllib.request, uuid" if signed_in else "json, urllib.request, uuid"
    return f"""import {modules}

score = {json.dumps(_EXAMPLE)}
headers = {{
    "Content-Type": "application/json",
    "Idempotency-Key": str(uuid.uuid4()),{token}
}}
request = urllib.request.Request("{url}", json.dumps(score).encode(), headers)
print(urllib.request.urlopen(request).read().decode())"""
