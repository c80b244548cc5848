"""The `pairboard` command: web, worker, up, demo, setup, migrate, doctor, user, token, import-table, leaderboard,
presets, export, serve-model; audit (audit_command.py); gc, backup, restore (keeping/commands.py); score, import-scores
(submissions/commands.py)."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Literal

import typer
import uvicorn
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app import audit_command, doctor, schema, serving, up
from app.accounts import audit, tokens
from app.accounts import queries as account_queries
from app.accounts import service as accounts
from app.accounts.models import Member
from app.contests import queries as contest_queries
from app.db import Database
from app.errors import AppError, FieldError
from app.keeping import commands as keeping
from app.leaderboard import exporting, importing
from app.leaderboard.view import View
from app.settings import LOOPBACK_HOSTS, Settings, load
from app.storage import Storage
from app.submissions import commands as submitting
from app.worker_token import leave_worker_token
from ml.contract.encoder_config import SIZES
from ml.contract.lifeline import die_with_parent
from ml.contract.presets import PRESETS, size_of

cli = typer.Typer(no_args_is_help=True, add_completion=False, help="The bench for sentence-pair matching contests.")
user = typer.Typer(no_args_is_help=True, help="Members, who sign in with a password.")
token = typer.Typer(no_args_is_help=True, help="Tokens, for programs and workers.")
cli.add_typer(user, name="user")
cli.add_typer(token, name="token")
keeping.add_to(cli)
audit_command.add_to(cli)
submitting.add_to(cli)

DieWithParent = Annotated[bool, typer.Option("--die-with-parent", hidden=True, help="stdin is a pipe of the parent")]


def main() -> None:
    """Entry of the console script: an AppError, or a database that is away, is a message on stderr and exit code 2, not
    a traceback."""
    try:
        cli()
    except AppError as error:
        print(f"pairboard: {error.message}", file=sys.stderr)
        for problem in error.fields[:20]:
            print(f"  {problem.field}: {problem.message}", file=sys.stderr)
        sys.exit(2)
    except OperationalError as error:
        print(f"pairboard: the database failed: {error.orig} (see PAIRBOARD_DATABASE_URL)", file=sys.stderr)
        sys.exit(2)


@cli.command("up")
def up_command(
    worker: Annotated[bool, typer.Option(help="start a worker on this machine too")] = True,
    die: DieWithParent = False,
) -> None:
    """Migrate, then run the web server and one worker until Ctrl-C. Needs nothing else on the machine."""
    if die:
        die_with_parent()
    sys.exit(up.run(load(), with_worker=worker))


@cli.command()
def demo(
    data: Annotated[Path | None, typer.Option(help="a pair file of your own; default: generated sample pairs")] = None,
    preset: Annotated[str, typer.Option(help="what to run; see `pairboard presets`")] = "demo",
    size: Annotated[str, typer.Option(help="another size of encoder than the preset's")] = "",
) -> None:
    """One real experiment from file to leaderboard, in a folder that is removed afterwards."""
    from app import demo as demo_run  # here: scikit-learn takes a second, and no other command needs it

    sys.exit(demo_run.run(data, preset, size))


@cli.command()
def web(
    processes: Annotated[
        int | None, typer.Option(min=1, help="how many serve; default: PAIRBOARD_WEB_PROCESSES")
    ] = None,
    die: DieWithParent = False,
) -> None:
    """Run the web server alone."""
    if die:
        die_with_parent()
    settings = load()
    if processes is not None:
        settings = settings.model_copy(update={"web_processes": processes})
    from app import processes as web_processes  # here: the whole web server, which takes a second to load

    sys.exit(web_processes.serve(settings))


@cli.command()
def worker(
    server: Annotated[str, typer.Option(help="address of the app")] = "",
    token_: Annotated[str, typer.Option("--token", help="`pairboard token add NAME --scope worker` prints one")] = "",
    queues: Annotated[str, typer.Option(help="queues to listen on, divided by commas")] = "",
    gpu: Annotated[int | None, typer.Option(min=0, help="number of the card that it has for itself")] = None,
    name: Annotated[str, typer.Option(help="its name in the app; default: the host's, and the card's")] = "",
) -> None:
    """Run one worker alone, on any machine that reaches the app and the broker (PAIRBOARD_BROKER_URL).

    Each option is also a variable: PAIRBOARD_WORKER_SERVER, _TOKEN, _QUEUES, _GPU, _NAME.
    """
    given = {"SERVER": server, "TOKEN": token_, "QUEUES": queues, "GPU": "" if gpu is None else str(gpu), "NAME": name}
    env = {**os.environ, **{f"PAIRBOARD_WORKER_{key}": value for key, value in given.items() if value}}
    os.execve(sys.executable, [sys.executable, "-m", "worker"], env)  # noqa: S606 - a program of our own


@cli.command()
def migrate(
    revision: Annotated[str, typer.Argument(help="a revision, or `base` to take everything down")] = "head",
) -> None:
    """Bring the database's tables to this version, all at once or not at all; a SQLite database is copied before."""
    database = _database(load(), check=False)
    move = schema.downgrade if revision == "base" else schema.upgrade
    if copy := move(database.write_engine, revision):
        print(f"a copy of the database as it was is in {copy}")
    print("the database is at", revision)


@cli.command()
def setup(
    member: Annotated[str, typer.Option(help="also add this member; asks for the password")] = "",
) -> None:
    """Make ready what web server and workers need: tables, and a worker's token in PAIRBOARD_WORKER_TOKEN_FILE.

    May be run again at any time; after an update it must.
    """
    settings = load()
    database = _database(settings, check=False)
    schema.upgrade(database.write_engine)
    print("the database is at head")
    written = leave_worker_token(settings, database)
    print(f"{'wrote' if written else 'there is'} a worker's token in {settings.token_file}")
    if member:
        _add_member(database, member)
    database.dispose()


@cli.command("doctor")
def doctor_command() -> None:
    """Check data folder, broker, web server, database, clock, workers, queues and files, and say what to do."""
    found = list(doctor.examine(load()))
    width = max(len(item.name) for item in found)
    for item in found:
        print(f"{item.state:7}  {item.name:{width}}  {item.text}")
    if any(item.state == "bad" for item in found):
        sys.exit(1)


@cli.command()
def presets() -> None:
    """The named configs, the size of encoder each is meant for, and what they are."""
    for name, what in PRESETS.items():
        print(f"{name:8} {size_of(name):6} {what}")
    print(f"\nEach takes another size: {', '.join(SIZES)}.")


@user.command("add")
def user_add(
    name: str,
    role: Annotated[str, typer.Option(help="owner, member or viewer; default: the first is owner")] = "",
) -> None:
    """Add a member; asks for the password (or reads it from a pipe)."""
    _add_member(_database(load()), name, role)


@user.command("role")
def user_role(name: str, role: Annotated[str, typer.Argument(help="owner, member or viewer")]) -> None:
    """Give a member another role."""
    with _database(load()).writing() as session:
        accounts.set_role(session, _member(session, name), role)
        audit.by_command(session, "user role", f"{name} {role}")
    print(f"{name} is {role}")


@user.command("password")
def user_password(name: str) -> None:
    """Give a member, who forgot it, another password; every session of the member ends."""
    database, password = _database(load()), _asked_password()
    with database.writing() as session:
        accounts.reset_password(session, _member(session, name), password)
        audit.by_command(session, "user password", name)
    print(f"{name} has another password")


@token.command("add")
def token_add(
    name: Annotated[str, typer.Argument(help="what the token is for")],
    scope: Annotated[
        str, typer.Option(help="read, submit, run, admin, divided by commas; member: the first three; or worker")
    ] = "member",
    contest: Annotated[str, typer.Option(help="slug of the only contest that it reaches")] = "",
    days: Annotated[float | None, typer.Option(help="until it expires; default: never")] = None,
) -> None:
    """Make a token and print it; it is not shown again."""
    scopes = [part.strip() for part in scope.split(",") if part.strip()]
    with _database(load()).writing() as session:
        bound = contest_queries.contest(session, contest).id if contest else None
        row, plain = tokens.issue(session, tokens.Wanted(name, scopes, bound, days))
        audit.by_command(session, "token add", f"{row.id} {row.name}: {row.scopes}")
    print(plain)


@token.command("list")
def token_list() -> None:
    """Every token: its number, scopes and last use."""
    with _database(load()).reading() as session:
        for row in account_queries.tokens(session):
            state = "revoked" if row.revoked_at else f"expires {row.expires_at:%F}" if row.expires_at else ""
            used = f"{row.last_used_at:%F %T} UTC" if row.last_used_at else "never used"
            print(f"{row.id:5}  {row.scopes:16}  {used:24}  {row.name}  {state}".rstrip())


@token.command("revoke")
def token_revoke(number: Annotated[int, typer.Argument(help="see `pairboard token list`")]) -> None:
    """Have it unknown from now on."""
    with _database(load()).writing() as session:
        row = account_queries.token(session, number)
        tokens.revoke(session, row)
        audit.by_command(session, "token revoke", f"{row.id} {row.name}")
    print(f"revoked {row.name}")


@cli.command("import-table")
def import_table(
    file: Annotated[Path, typer.Argument(help="a Markdown file with score tables")],
    contest: Annotated[str, typer.Option(help="slug of the contest; made if there is none")],
) -> None:
    """Bring the rows of a hand-kept table onto the leaderboard. A second import changes nothing."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise AppError(f"{file} can't be read: {error}") from error
    with _database(load()).writing() as session:
        result = importing.import_table(session, contest, text)
    for line in result.remarks:
        print("note:", line)
    print(f"{result.contest}: {result.created} rows made, {result.changed} changed, {result.unchanged} unchanged")
    if not result.created + result.changed + result.unchanged:
        raise AppError(
            f"{file} has no score table: its header needs a column for the experiment and one of train, valid, online",
            [FieldError("header", "for example | experiment | train | valid | online |")],
        )


@cli.command()
def leaderboard(
    contest: Annotated[str, typer.Argument(help="slug of the contest")],
    sort: Annotated[str, typer.Option(help="columns divided by commas, - before one for descending")] = "",
    search: Annotated[str, typer.Option(help="words, valid>=0.95, status:failed, encoder.model_type:bert")] = "",
    against: Annotated[int | None, typer.Option(help="number of the row to compare with")] = None,
    form: Annotated[Literal["markdown", "latex", "csv"], typer.Option("--format")] = "markdown",
) -> None:
    """Print the comparison table."""
    write = {"markdown": exporting.markdown, "latex": exporting.latex, "csv": exporting.csv}[form]
    with _database(load()).reading() as session:
        view = View(sort, search, against=against)
        print(write(session, contest_queries.contest(session, contest), view), end="")


@cli.command()
def export(
    experiment: Annotated[int, typer.Argument(help="number of the experiment")],
    out: Annotated[Path, typer.Argument(help="a new folder")],
    run: Annotated[int | None, typer.Option(help="which of its finetunes, if there are several")] = None,
    int8: Annotated[bool, typer.Option("--int8", help="weights as int8: smaller and quicker, a little worse")] = False,
) -> None:
    """Write an experiment's model as ONNX, checked against torch on its valid rows."""
    settings = load()
    storage = Storage((settings.data_dir / "storage").resolve(), settings.max_upload_mb << 20)
    with tempfile.TemporaryDirectory(prefix="pairboard-export-") as name:
        with _database(settings).reading() as session:
            chosen = serving.run_to_export(session, experiment, run)
            folder, job = serving.lay_out(session, storage, chosen, Path(name))
        found = serving.export(folder, out, job, int8=int8)
    print(
        f"{out}: {found['bytes'] / 1e6:.1f} MB, as torch to {found['largest_difference']:.1g} on {found['rows']} rows"
    )
    if "auc" in found:
        print(f"valid AUC {found['auc']:.5f}, torch {found['torch_auc']:.5f}")
    if "int8_auc" in found:
        print(f"int8: valid AUC {found['int8_auc']:.5f}, which costs {found['int8_auc_cost']:.5f}")
    print(f"one pair on one core: p50 {found['p50_ms']:.2f} ms, p95 {found['p95_ms']:.2f}, p99 {found['p99_ms']:.2f}")


@cli.command("serve-model")
def serve_model(
    folder: Annotated[Path, typer.Argument(help="what `pairboard export` wrote")],
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="port to listen on")] = 8200,
    threads: Annotated[int, typer.Option(min=1, help="of the model")] = 1,
) -> None:
    """Answer pairs over HTTP: POST /predict with {"pairs": [{"a": "...", "b": "..."}]}."""
    secret = os.environ.get("PAIRBOARD_MODEL_TOKEN", "")
    local = host in LOOPBACK_HOSTS
    if not local and len(secret) < 16:
        raise AppError(f"{host} is open to others: set PAIRBOARD_MODEL_TOKEN (16 characters or more) for callers")
    if not (folder / "export.json").is_file():
        raise AppError(f"{folder} has no export.json: give a folder that `pairboard export` wrote")
    hosts = ["127.0.0.1", "localhost", "[::1]"] if local else ["*"]
    app = serving.create_model_app(folder, threads, secret, hosts)
    print(f"serves {folder} on http://{host}:{port} (docs at /docs; Ctrl-C stops it)")
    uvicorn.run(app, host=host, port=port, log_level="warning", server_header=False)


def _add_member(database: Database, name: str, role: str = "") -> None:
    password = _asked_password()
    with database.writing() as session:
        made = accounts.add_member(session, name, password, accounts.known_role(role) if role else None)
        audit.by_command(session, "user add", f"{made.name} {made.role}")
    print(f"added member {name} ({made.role})")


def _asked_password() -> str:
    return typer.prompt("Password", hide_input=True, confirmation_prompt=True) if sys.stdin.isatty() else input()


def _member(session: Session, name: str) -> Member:
    found = account_queries.member_by_name(session, name)
    if found is None:
        raise AppError(f"there is no member {name!r}")
    return found


def _database(settings: Settings, *, check: bool = True) -> Database:
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    database = Database(settings.database)
    if check:
        schema.require_head(database.write_engine)
    return database
