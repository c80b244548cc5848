"""`pairboard audit`: the leak audit of files that need not be in any contest. Hung into the command line by cli."""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from app.contests.leak_program import answer
from app.errors import AppError
from app.experiments.service import build_config
from ml.contract.leaks import BLIND_SPOTS, CHECKS, DRIFTS, SECONDS, VERDICTS, AuditAsk, AuditFile, Example, LeakReport
from ml.contract.pair_file import FileKind, sniff

SHOWN = 2
Closure = Literal["none", "after", "before"]


def add_to(cli: typer.Typer) -> None:
    """One command more."""
    cli.command("audit")(audit)


def audit(
    train: Annotated[Path, typer.Argument(help="a labelled pair file")],
    valid: Annotated[
        Path | None, typer.Option(help="a labelled file held out by a person; else train is split")
    ] = None,
    test: Annotated[Path | None, typer.Option(help="a test file: what it shares with train is told")] = None,
    split_by: Annotated[Literal["component", "twins", "row"], typer.Option(help="how train is split")] = "component",
    valid_fraction: Annotated[float, typer.Option(help="share of rows held out")] = 0.1,
    split_seed: Annotated[int, typer.Option(help="of the split")] = 42,
    folds: Annotated[int, typer.Option(help="of so many folds one is held out; 0: none")] = 0,
    fold: Annotated[int, typer.Option(help="which one, counted from 0")] = 0,
    closure: Annotated[Closure, typer.Option(help="close positives and negatives after or before the split")] = "none",
    json_: Annotated[bool, typer.Option("--json", help="the whole report as JSON")] = False,
) -> None:
    """Audit a split for leaks. Exit code 0: clean, 1: suspicious or leaking, 2: it could not be made."""
    data = {"split_by": split_by, "valid_fraction": valid_fraction, "split_seed": split_seed, "folds": folds}
    made: dict[str, Any] = {"closure_positives": closure != "none", "closure_negatives": closure != "none"}
    config = build_config("", {"data": data, "augment": {**made, "augment_before_split": closure == "before"}})
    ask = AuditAsk(
        train=_file(train, "train"),
        valid=_file(valid, "train") if valid else None,
        test=_file(test, "test") if test else None,
        data=config.data,
        augment=config.augment,
        seed=config.seed,
        fold=fold,
    )
    found = answer(ask)
    if found.report is None:
        raise AppError(found.error)
    typer.echo(found.report.model_dump_json() if json_ else _text(found.report))
    sys.exit(0 if found.report.verdict == "clean" else 1)


def _file(path: Path, kind: FileKind) -> AuditFile:
    try:
        return AuditFile(path=str(path.absolute()), name=path.name, layout=sniff(path, kind))
    except (OSError, ValueError) as error:
        raise AppError(f"{path} can't be read: {error}") from error


def _text(report: LeakReport) -> str:
    """For a terminal."""
    lines = [
        f"{report.verdict.upper()}: {VERDICTS[report.verdict]}",
        f"{report.train_rows:,} train rows ({report.learnt_rows:,} are trained on), {report.valid_rows:,} valid, "
        f"{report.test_rows:,} test; {report.seconds:.1f} s",
        "",
    ]
    for check in report.checks:
        second = f", {check.second:,} {SECONDS[check.name]}" if check.second is not None and check.count else ""
        limit = f" (natural up to {check.limit:.2%})" if check.limit else ""
        title = CHECKS[check.name][0]
        lines.append(f"{check.level:10} {title}: {check.count:,} of {check.of:,}, {check.share:.2%}{limit}{second}")
        lines += [_example(item) for item in check.examples[:SHOWN] if check.level in {"suspicious", "leaking"}]
    for drift in report.drifts:
        p = f", p {drift.p:.2g}" if drift.p is not None else ""
        values = f"{drift.first:.4g} and {drift.second:.4g}, effect {drift.effect:.4f}{p}"
        lines.append(f"{drift.level:10} drift of {DRIFTS[drift.name][0]}, {drift.between}: {values}")
    return "\n".join([*lines, "", "What the audit cannot see:", *(f"  {text}" for text in BLIND_SPOTS)])


def _example(item: Example) -> str:
    here, there = (f"line {line}" if line else "made by augmentation" for line in (item.line, item.train_line))
    return (
        f"             {here}: {item.a} | {item.b} | {item.label} ~ {there}: {item.train_a} | {item.train_b} | "
        + str(item.train_label)
    )
