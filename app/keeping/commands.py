"""The commands that keep a set-up: `pairboard gc`, `backup`, `restore`. Added to the others by cli.py."""

from pathlib import Path
from typing import Annotated

import typer

from app import schema
from app.db import Database
from app.errors import AppError
from app.keeping import backup, gc, manifest, restore
from app.settings import Settings, load
from app.storage import Storage
from app.texts import in_bytes

YES = "remove it; without this nothing is removed"


def add_to(cli: typer.Typer) -> None:
    """Add the commands of this file."""
    cli.command("gc")(gc_command)
    cli.command("backup")(backup_command)
    cli.command("restore")(restore_command)


def gc_command(yes: Annotated[bool, typer.Option("--yes", help=YES)] = False) -> None:
    """Say what may go, in numbers and bytes. Removes NOTHING unless --yes is given. The app may run meanwhile."""
    settings = load()
    database = Database(settings.database)
    schema.require_head(database.write_engine)
    found = gc.kinds(settings, database, storage_of(settings))
    width = max(len(kind.name) for kind in found)
    done = []
    for kind in found:
        freed = kind.remove() if yes else kind.found
        done.append(freed)
        print(f"{kind.name:{width}}  {freed.count:8,}  {in_bytes(freed.size):>9}")
        if freed.waiting:
            print(f"  {len(freed.waiting)} of its files stay for now: an upload or a backup needs them")
        elif yes and (freed.count, freed.size) < (kind.found.count, kind.found.size):
            print(f"  {kind.found.count - freed.count} that were found a moment ago are in use again, or gone by now")
    print(
        f"{'together':{width}}  {sum(item.count for item in done):8,}  {in_bytes(sum(item.size for item in done)):>9}"
    )
    if not settings.retain_event_days:
        print("The progress of every run is kept for good (PAIRBOARD_RETAIN_EVENT_DAYS).")
    print("Removed." if yes else "This was a dry run, NOTHING WAS REMOVED: `pairboard gc --yes` removes it.")
    database.dispose()


def backup_command(
    folder: Annotated[Path, typer.Argument(help="best on another disk; the next backup adds what is new")],
    keep: Annotated[int | None, typer.Option(min=1, help="remove all but so many of the newest backups there")] = None,
) -> None:
    """Copy the database and every file it names, while the app runs. Settings, secrets, the broker and workers'
    folders are no part of it."""
    settings = load()
    made = backup.make(settings, storage_of(settings), folder)
    told, copied = made.manifest, made.copied
    rows = ", ".join(f"{count:,} {name}" for name, count in told.rows.items())
    print(f"{made.folder}: {told.database} at migration {told.revision}, {in_bytes(told.database_bytes)}: {rows}")
    print(f"{copied.files:,} files copied, {in_bytes(copied.size)}; {copied.there:,} were there from before")
    if keep is not None:
        count, freed = backup.forget_all_but(folder, keep)
        print(f"{count} older backups removed, which freed {in_bytes(freed)} of files")
    if told.missing:
        listed = "; ".join(f"{sha256[:12]}... {why}" for sha256, why in list(told.missing.items())[:5])
        raise AppError(
            f"the backup is made, but {len(told.missing)} files that the database names could not be copied: {listed}"
        )


def restore_command(
    path: Annotated[Path, typer.Argument(help="a backup folder, for its newest, or one backup in it")],
    check: Annotated[bool, typer.Option("--check", help="read every byte of the backup and change nothing")] = False,
    force: Annotated[bool, typer.Option("--force", help=restore.FORCE.removeprefix("--force "))] = False,
) -> None:
    """Bring a backup into PAIRBOARD_DATABASE_URL and PAIRBOARD_DATA_DIR, which must be empty. Stop the app before."""
    chosen = manifest.chosen(path)
    if check:
        told = restore.check(chosen)
        size = sum(told.copied.values()) + told.database_bytes
        print(f"{chosen} is whole: {len(told.copied):,} files and the database, {in_bytes(size)}")
        _tell_missing(told)
        return
    settings = load()
    done = restore.restore(settings, storage_of(settings), chosen, force=force)
    told = manifest.read(chosen)
    print(f"restored {chosen}, made {told.made_at:%F %T} UTC: {in_bytes(told.database_bytes)} of database")
    print(f"{done.copied.files:,} files copied, {in_bytes(done.copied.size)}; {done.copied.there:,} were there")
    if done.set_aside:
        print(f"the database that was there is kept as {done.set_aside}, its files until `pairboard gc --yes`")
    if done.runs_returned:
        print(f"{done.runs_returned} runs that were under way wait in the queue again")
    _tell_missing(told)


def _tell_missing(told: manifest.Manifest) -> None:
    if told.missing:
        listed = ", ".join(sha256[:12] for sha256 in list(told.missing)[:5])
        print(f"note: {len(told.missing)} files were lost before the backup was made: {listed}")


def storage_of(settings: Settings) -> Storage:
    """The files of these settings."""
    return Storage((settings.data_dir / "storage").resolve(), settings.max_upload_mb << 20)
