"""Opens a prediction file that somebody sent: plain text, or a zip of exactly the one file that the contest asks for.

Nothing of a zip is ever written to disk, and no more of it is unpacked than a file of that form can hold.
"""

import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BufferedReader
from typing import BinaryIO

from app.language import gettext as _
from app.submissions.format import SubmissionFormat
from app.submissions.malformed import Malformed

_ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_OTHERS = {b"\x1f\x8b": "gzip", b"7z\xbc\xaf": "7z", b"Rar!": "rar", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}
_ABSOLUTE = re.compile(r"^([/\\]|[A-Za-z]:)")
#: what zipfile raises for bytes that only look like a zip
_ZIP_ERRORS = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError),
    *(OSError, ValueError, IndexError, OverflowError, RuntimeError),
)
_CHUNK = 1 << 16


@contextmanager
def opened(source: BinaryIO, name: str, form: SubmissionFormat, most_bytes: int) -> Iterator[BinaryIO]:
    """The text of the file. Raises Malformed for an empty or too large one, and for what is packed otherwise."""
    size = source.seek(0, 2)
    source.seek(0)
    start = source.read(8)
    source.seek(0)
    if not size:
        raise Malformed("empty", _("%(file)s is empty: send a line for each row of the test file", file=name))
    if size > most_bytes:
        told = {"file": name, "size": size, "most": most_bytes}
        large = _("%(file)s has %(size)s bytes, where %(most)s hold every row: it is another file", **told)
        raise Malformed("too_large", large, str(size))
    packed = start.startswith(_ZIP)
    _require_packing(start, name, form, packed=packed)
    if not packed:
        yield source
        return
    with _unpacked(source, name, form, most_bytes) as text:
        yield text


def _require_packing(start: bytes, name: str, form: SubmissionFormat, *, packed: bool) -> None:
    for sign, kind in _OTHERS.items():
        if start.startswith(sign):
            wanted = _("a zip") if form.zipped else _("plain text")
            other = _(
                "%(file)s is packed with %(kind)s: this contest takes %(wanted)s", file=name, kind=kind, wanted=wanted
            )
            raise Malformed("other_archive", other, kind)
    if form.zipped and not packed:
        bare = _(
            "%(file)s is not a zip: this contest takes a zip of one file, %(inner)s", file=name, inner=form.file_name
        )
        raise Malformed("zip_expected", bare)
    if packed and not form.zipped:
        raise Malformed("zip_unexpected", _("%(file)s is a zip: this contest takes the text file itself", file=name))


@contextmanager
def _unpacked(source: BinaryIO, name: str, form: SubmissionFormat, most_bytes: int) -> Iterator[BinaryIO]:
    with ExitStack() as kept:
        try:
            archive = kept.enter_context(zipfile.ZipFile(source))
            info = _only(archive.infolist(), name, form)
            _require_readable(info, name, most_bytes)
            _require_whole(archive, info, name)
            file = kept.enter_context(archive.open(info))
            text = kept.enter_context(BufferedReader(file))  # type: ignore[type-var]
        except _ZIP_ERRORS as error:
            damaged = _("%(file)s is a damaged zip (%(why)s): pack the file anew", file=name, why=str(error)[:100])
            raise Malformed("zip_damaged", damaged) from error
        yield text


def _only(infos: list[zipfile.ZipInfo], name: str, form: SubmissionFormat) -> zipfile.ZipInfo:
    """The one file, by its right name."""
    files = [info for info in infos if not info.filename.endswith("/")]
    if not files:
        raise Malformed("zip_empty", _("%(file)s holds no file: pack %(inner)s", file=name, inner=form.file_name))
    told = {"file": name, "inner": form.file_name, "found": repr(files[0].filename[:100])}
    if len(files) > 1:
        listed = ", ".join(repr(info.filename[:50]) for info in files[:5])
        several = _(
            "%(file)s holds %(count)s files (%(listed)s): pack %(inner)s alone (on a Mac with zip -X)",
            **{**told, "count": len(files), "listed": listed},
        )
        raise Malformed("zip_several", several, listed)
    path = files[0].filename
    if ".." in re.split(r"[/\\]", path):
        climbs = _("%(file)s: the name %(found)s climbs out of its folder with ..: pack %(inner)s by itself", **told)
        raise Malformed("zip_climbs", climbs, path)
    if _ABSOLUTE.match(path):
        rooted = _("%(file)s: the name %(found)s is an absolute path: pack %(inner)s by itself", **told)
        raise Malformed("zip_absolute", rooted, path)
    if "/" in path or "\\" in path:
        inside = _("%(file)s: %(found)s lies in a folder: pack %(inner)s without its folder", **told)
        raise Malformed("zip_folder", inside, path)
    if path != form.file_name:
        raise Malformed("zip_name", _("%(file)s holds %(found)s: the file inside is called %(inner)s", **told), path)
    return files[0]


def _require_readable(info: zipfile.ZipInfo, name: str, most_bytes: int) -> None:
    if info.flag_bits & 1:
        locked = _("%(file)s is encrypted: pack it without a password", file=name)
        raise Malformed("zip_encrypted", locked)
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        other = _(
            "%(file)s is packed by method %(method)s: use deflate, as every zip program does",
            file=name,
            method=info.compress_type,
        )
        raise Malformed("zip_method", other, str(info.compress_type))
    if info.file_size > most_bytes:
        told = {"file": name, "size": info.file_size, "most": most_bytes}
        bomb = _("%(file)s unpacks to %(size)s bytes, where %(most)s hold every row: nothing was unpacked", **told)
        raise Malformed("zip_bomb", bomb, str(info.file_size))


def _require_whole(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> None:
    """Read through before a line is looked at: or a broken byte would be told as somebody's wrong number."""
    try:
        with archive.open(info) as file:
            while file.read(_CHUNK):
                pass
    except zipfile.BadZipFile as error:
        if "CRC" not in str(error):
            raise
        broken = _(
            "%(file)s: the checksum of %(inner)s is wrong, it was damaged on its way: send it again",
            file=name,
            inner=info.filename,
        )
        raise Malformed("zip_crc", broken) from error
