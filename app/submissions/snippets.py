"""The most used call, ready to be pasted: with the reader's own host, and the hash of the file that is sent. Shown by
pages.
"""

import json
import shlex
import uuid
from dataclasses import dataclass
from typing import Any

from app.experiments.models import Experiment

_EXAMPLE: dict[str, Any] = {"value": 0.8778, "board": "A"}


@dataclass(frozen=True)
class Snippets:
    """`curl`: one line; `python` needs nothing but Python; `command` is for the machine of the server."""

    curl: str
    python: str
    command: str


def of_experiment(base: str, slug: str, experiment: Experiment, sha256: str, *, signed_in: bool) -> Snippets:
    """`base`: scheme and host as the reader knows them; `sha256`: of its file, empty where there is none here;
    `signed_in`: a token is needed. The number goes with the hash: other experiments may have made the same bytes."""
    url = f"{base}/api/v1/contests/{slug}/online-scores"
    named = ({"file_sha256": sha256} if sha256 else {}) | {"experiment": experiment.id}
    body = _EXAMPLE | named
    return Snippets(
        curl=_curl(url, shlex.quote(json.dumps(body)), signed_in=signed_in),
        python=_python(url, json.dumps(body), signed_in=signed_in),
        command=f"pairboard score {experiment.id} {_EXAMPLE['value']} --board {_EXAMPLE['board']}",
    )


def of_contest(base: str, slug: str, name: str, *, signed_in: bool) -> Snippets:
    """The same for any file that lies in the folder under this name: its hash finds the experiment."""
    url = f"{base}/api/v1/contests/{slug}/online-scores"
    begin = json.dumps(_EXAMPLE).removesuffix("}").replace('"', '\\"')
    curl_body = f'"{begin}, \\"file_sha256\\": \\"$(sha256sum {shlex.quote(name)} | cut -c1-64)\\"}}"'
    digest = f'hashlib.sha256(open({json.dumps(name)}, "rb").read()).hexdigest()'
    python_body = f'{json.dumps(_EXAMPLE).removesuffix("}")}, "file_sha256": {digest}}}'
    return Snippets(
        curl=_curl(url, curl_body, signed_in=signed_in),
        python=_python(url, python_body, signed_in=signed_in, modules=("hashlib",)),
        command=f"pairboard score {slug} {_EXAMPLE['value']} --board {_EXAMPLE['board']} --file {shlex.quote(name)}",
    )


def _curl(url: str, data: str, *, signed_in: bool) -> str:
    """A key of its own: pasted twice it is one score."""
    token = ' -H "Authorization: Bearer $PAIRBOARD_TOKEN"' if signed_in else ""
    key = shlex.quote(f"Idempotency-Key: {uuid.uuid4()}")
    return f"curl -X POST {url} -H 'Content-Type: application/json' -H {key}{token} -d {data}"


def _python(url: str, body: str, *, signed_in: bool, modules: tuple[str, ...] = ()) -> str:
    token = '\n    "Authorization": f"Bearer {os.environ[\'PAIRBOARD_TOKEN\']}",' if signed_in else ""
    needed = sorted({"json", "urllib.request", "uuid", *modules, *(("os",) if signed_in else ())})
    return f"""import {", ".join(needed)}

score = {body}
headers = {{
    "Content-Type": "application/json",
    "Idempotency-Key": str(uuid.uuid4()),{token}
}}
request = urllib.request.Request("{url}", json.dumps(score).encode(), headers)
print(urllib.request.urlopen(request).read().decode())"""
