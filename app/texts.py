"""How long a text may be that people write, where the database sets no bound; and sizes in words.

Called by services and pages."""

from app.errors import FieldError, Refused
from app.language import gettext as _

#: characters; a note of the leaderboard is read whole with each page of it
MOST_NOTE = 50_000


def checked_note(note: str) -> str:
    """The note without surrounding space. Raises Refused for one that is too long."""
    note = note.strip()
    if len(note) > MOST_NOTE:
        told = {"count": len(note), "most": MOST_NOTE}
        message = _("the note has %(count)s characters: at most %(most)s", **told)
        raise Refused(message, [FieldError("note", message, note[:60])])
    return note


def in_bytes(size: int) -> str:
    """`1.2 MB`, in powers of 1000 as disks are sold."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} B"
