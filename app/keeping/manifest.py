"""What lies in a backup folder, and how it is told whole from half.

    FOLDER/files/ab/abcdef...        every file by its hash, once, shared by all backups of the folder
    FOLDER/2026-11-26T05-24-15Z/     one backup: the database (database.sqlite or database.dump) and manifest.json,
                                     and in sealed/ the answers of sealed contests, if there are any

The manifest is written last, in a folder of another name that is renamed when all is on disk.
"""

import sys
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from app.errors import AppError
from app.storage import Storage

NAME = "manifest.json"
MAKING = ".making-"


class Manifest(BaseModel):
    """`files` are the hashes that the database's rows name, with their sizes; `missing` those of them that storage
    itself had lost before, and why they could not be copied; `rows` how many there are of a few tables; `sealed` the
    files of sealed answers by their name, with their hashes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    made_at: datetime
    pairboard: str
    revision: str
    database: Literal["sqlite", "postgresql"]
    database_file: str
    database_bytes: int
    database_sha256: str
    rows: dict[str, int]
    files: dict[str, int]
    missing: dict[str, str]
    sealed: dict[str, str] = {}

    @property
    def copied(self) -> dict[str, int]:
        """The files that the backup has."""
        return {sha256: size for sha256, size in self.files.items() if sha256 not in self.missing}


def read(folder: Path) -> Manifest:
    """The manifest of one backup. Raises AppError when it is not whole, or of another version's making."""
    try:
        return Manifest.model_validate_json((folder / NAME).read_bytes())
    except OSError as error:
        raise AppError(f"{folder / NAME} can't be read ({error.strerror}): this is not a whole backup") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "its JSON"
        raise AppError(f"{folder / NAME}: {where}: {first['msg']}: it is damaged, or of another pairboard") from error


def backups(folder: Path) -> list[Path]:
    """The whole ones of a backup folder, the newest last: their names are times."""
    return sorted(path.parent for path in folder.glob(f"[0-9]*/{NAME}"))


def chosen(path: Path) -> Path:
    """The backup that a person means: this very one, or the newest of a backup folder. Raises AppError."""
    if (path / NAME).is_file():
        return path
    found = backups(path)
    if not found:
        half = " (half of one is there: it was cut off)" if list(path.glob(f"{MAKING}*")) else ""
        raise AppError(f"{path} holds no backup{half}: give the folder that `pairboard backup` wrote to")
    return found[-1]


def files_of(folder: Path) -> Storage:
    """The files by their hash of a backup folder."""
    return Storage(folder / "files", sys.maxsize)
