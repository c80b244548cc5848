"""`make audit` passes only when the advisories were really asked."""

import re
import tomllib
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest

PATH = Path(__file__).resolve().parents[2] / ".ci" / "audit"
FAULTY = {"dependencies": [{"name": "jinja2", "version": "2.11.2", "vulns": [{"id": "X", "fix_versions": ["3"]}]}]}
SKIPPED = {"dependencies": [{"name": "jinja2", "skip_reason": "not found"}]}
CLEAN = {"dependencies": [{"name": "a", "version": "1", "vulns": []}]}


@pytest.fixture(scope="module")
def audit() -> Any:
    spec = spec_from_loader("audit", SourceFileLoader("audit", str(PATH)))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("known", "ours", "code", "text"),
    [
        (FAULTY, CLEAN, 0, "no fault is known in 1 packages"),
        (FAULTY, FAULTY, 1, "jinja2 2.11.2: X, mended in 3"),
        (FAULTY, SKIPPED, 2, "1 packages could not be looked up"),
        (SKIPPED, SKIPPED, 2, "can't be reached"),
        (SKIPPED, CLEAN, 2, "can't be reached"),
        (None, CLEAN, 2, "can't be reached"),
        (FAULTY, None, 2, "can't be reached"),
    ],
)
def test_verdicts(audit: Any, capsys: pytest.CaptureFixture[str], known: Any, ours: Any, code: int, text: str) -> None:
    assert audit.verdict(known, ours) == code
    told = capsys.readouterr()
    assert text in told.out + told.err


def test_every_dependency_has_an_exact_version() -> None:
    """What is installed by `make install` is what is audited."""
    project = tomllib.loads((PATH.parents[1] / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(item for items in project["optional-dependencies"].values() for item in items)]
    pinned = {
        re.sub(r"[-_.]+", "-", line.split("==")[0]).lower()
        for line in (PATH.parents[1] / "constraints.txt").read_text().splitlines()
        if "==" in line and not line.startswith("#")
    }
    names = {re.sub(r"[-_.]+", "-", re.split(r"[\[<>=; ]", item)[0]).lower() for item in asked}
    assert names <= pinned, names - pinned
