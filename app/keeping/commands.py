"""The commands that keep a set-up: `pairboard gc`, `backup`, `restore`. Added to the others by cli.py."""

from typing import Annotated

import typer

from app import schema
from app.db import Database
from app.keeping import gc
from app.settings import Settings, load
from app.storage import Storage
from app.web import in_bytes

YES = "remove it; without this nothing is removed"


def add_to(cli: typer.Typer) -> None:
    """Add the commands of this file."""
    cli.command("gc")(gc_command)


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


def storage_of(settings: Settings) -> Storage:
    """The files of these settings."""
    return Storage((settings.data_dir / "storage").resolve(), settings.max_upload_mb << 20)
