"""Calls every operation of /openapi.json as everybody: no 5xx, and no answer that it does not tell of.

`python -m tests.security.openapi --cases 50000`; its last line is one JSON object. test_openapi.py is the short run.
"""

import argparse
import json
import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from schemathesis import APIOperation, Case, Response
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi import checks

from tests.conftest import DATABASES, drop_postgres, new_postgres
from tests.security.house import HOST
from tests.security.openapi_cases import drawn, led, operations, request_of, seeded
from tests.security.openapi_house import House, built
from tests.security.wire import Wire

#: cases of an operation by each caller, in a row; then the rows are as they were before
AT_ONCE = 4
CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
#: how much of a finding is told
TOLD = 600


@dataclass
class Outcome:
    """What was answered. `findings`: (operation, what is wrong), with the first request that showed it."""

    cases: dict[str, Counter[str]] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)
    findings: dict[tuple[str, str], str] = field(default_factory=dict)
    reached: set[tuple[str, int]] = field(default_factory=set)

    @property
    def total(self) -> int:
        return sum(sum(of.values()) for of in self.cases.values())

    def report(self, seed: int) -> dict[str, Any]:
        """For the last line."""
        answered_well = {label for label, status in self.reached if status < 300}
        return {
            "seed": seed,
            "cases": self.total,
            "of": {kind: dict(sorted(of.items())) for kind, of in self.cases.items()},
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "operations": len({label for label, _ in self.reached}),
            "operations_answered_2xx": len(answered_well),
            "findings": [f"{label}: {what}" for label, what in sorted(self.findings)],
        }


@dataclass
class Campaign:
    """Of one house."""

    house: House
    kind: str
    outcome: Outcome

    def __post_init__(self) -> None:
        self.outcome.cases[self.kind] = Counter()

    @property
    def done(self) -> int:
        """Cases of this house."""
        return sum(self.outcome.cases[self.kind].values())

    def round(self, of: list[APIOperation], draw: random.Random, most: int) -> None:
        """Every operation by every caller, until so many cases are done."""
        for operation in of:
            turns = (list(self.house.callers) * AT_ONCE)[: most - self.done]
            cases = list(drawn(operation, len(turns), draw.randrange(1 << 32)))
            draw.shuffle(cases)
            if self.call(operation, turns, cases, draw):
                self.house.restore()

    def call(self, operation: APIOperation, turns: list[str], cases: list[Case], draw: random.Random) -> bool:
        """One after the other, in no order. Whether something may have changed."""
        draw.shuffle(turns)
        changed = False
        with calling(self.house) as wire:
            for caller, case in zip(turns, cases, strict=True):
                status = self._try(wire, caller, led(case, self.house.ids, draw))
                changed |= operation.method != "get" and status < 300
        return changed

    def _try(self, wire: Wire, caller: str, case: Case) -> int:
        request = request_of(case, f"http://{HOST}", self.house.callers[caller])
        answer = wire.send(request)
        self.outcome.cases[self.kind][caller] += 1
        self.outcome.statuses[answer.status_code] += 1
        self.outcome.reached.add((case.operation.label, answer.status_code))
        for what in wrong(case, answer):
            shown = f"{caller} on {self.kind}: {request.method} {request.url} {request.body!r:.{TOLD}}"
            answered = f"{answer.status_code} {answer.content[:TOLD]!r}"
            self.outcome.findings.setdefault((case.operation.label, what), f"{shown}\n    -> {answered}")
        return answer.status_code


@contextmanager
def calling(house: House) -> Iterator[Wire]:
    """A connection to its app."""
    wire = Wire(house.app, "10.0.0.9")
    try:
        yield wire
    finally:
        wire.close()


def wrong(case: Case, answer: Response) -> list[str]:
    """What the document does not tell of, and what must not be at all."""
    found = [f"status {answer.status_code}"] if answer.status_code >= 500 else []
    documented = case.operation.responses.find_by_status_code(answer.status_code)
    content = documented.definition.get("content") if documented is not None else None
    if documented is not None and not content and answer.content:
        found.append(f"{answer.status_code} has a body, and the document knows of none")
    kind = answer.headers.get("content-type", [""])[0]
    if kind.startswith("application/json") and answer.status_code != 204:
        try:
            json.loads(answer.content, parse_constant=_no_json)
        except ValueError as error:
            found.append(f"no JSON: {error}")
    try:
        case.validate_response(answer, checks=CHECKS)
    except FailureGroup as group:
        found += [f"{failure.title} ({answer.status_code}): {failure.message}"[:TOLD] for failure in group.exceptions]
    return found


def _no_json(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


@contextmanager
def _database(kind: str, folder: Path) -> Iterator[str]:
    """A new one, for as long as it is needed."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'bench.db'}"
        return
    url = new_postgres()
    try:
        yield url
    finally:
        drop_postgres(url)


def run(kinds: tuple[str, ...], cases: int, seed: int, folder: Path) -> Outcome:
    """So many cases, shared by the databases."""
    outcome = Outcome()
    for kind in kinds:
        draw = random.Random(seeded(seed, kind))
        with _database(kind, folder) as url, built(folder / kind, url) as house:
            campaign, of = Campaign(house, kind, outcome), operations(house.app.openapi())
            while campaign.done < cases // len(kinds):
                campaign.round(of, draw, cases // len(kinds))
                print(f"{kind}: {campaign.done} cases, {len(outcome.findings)} findings", flush=True)
    return outcome


def short_run(houses: dict[str, House], seed: int) -> Outcome:
    """Every operation once by everybody: on each database by every other caller, on the next one by those whom it left
    out. The rows are brought back only after what takes something away from the others: keys, or what was deleted."""
    outcome, draw = Outcome(), random.Random(seed)
    campaigns = [Campaign(house, kind, outcome) for kind, house in houses.items()]
    for number, operation in enumerate(operations(campaigns[0].house.app.openapi())):
        callers = list(campaigns[0].house.callers)
        cases = list(drawn(operation, len(callers), draw.randrange(1 << 32)))
        for place, campaign in enumerate(campaigns, number):
            part = slice(place % len(campaigns), None, len(campaigns))
            changed = campaign.call(operation, callers[part], cases[part], draw)
            if changed and (operation.method == "delete" or "accounts" in (operation.tags or ())):
                campaign.house.restore()
    return outcome


def main() -> int:
    """1 with findings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=50_000, help="in all")
    parser.add_argument("--database", choices=(*DATABASES, "both"), default="both")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kinds = DATABASES if asked.database == "both" else (asked.database,)
        outcome = run(kinds, asked.cases, asked.seed, Path(folder))
    for (label, what), shown in sorted(outcome.findings.items()):
        print(f"{label}: {what}\n    {shown}")
    print(json.dumps(outcome.report(asked.seed), ensure_ascii=False))
    return 1 if outcome.findings else 0


if __name__ == "__main__":
    raise SystemExit(main())
