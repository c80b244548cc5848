"""Prediction files that are none: sent where they would be scored. What is refused uses no place of the day up."""

import io
import struct
import zipfile
from collections.abc import Callable
from typing import Any

from app.sealed import answers
from tests.security.attacks_sealed import ROWS, URL, predictions, sealed, send
from tests.security.house import House, refused
from tests.security.table import attack

INSIDE = "predictions.tsv"


def place(house: House, *, zipped: bool) -> str:
    """A sealed contest that takes this; made once."""
    slug = "takes-zips" if zipped else "takes-text"
    if house.member.get(URL.format(slug=slug)).status_code == 404:
        sealed(house, slug, uploads_a_day="1")
        form = {"columns": ["probability"], "zipped": zipped, "file_name": INSIDE}
        assert house.member.put(f"/api/v1/contests/{slug}/submission-format", json=form).status_code == 200
    return slug


def kind_of(house: House, content: bytes, *, zipped: bool = False, name: str = "mine.zip") -> str:
    """By which fault it is refused; nothing of it is on the disk, and none of the day is used up."""
    slug, who = place(house, zipped=zipped), house.token("read", "submit")
    before = {path for path in house.folder.rglob("*") if path.suffix not in {".db", ".db-wal", ".db-shm"}}
    answer = send(house, slug, content, who, name=name)
    refused(answer, 422)
    assert len(answer.content) < 5000
    now = {path for path in house.folder.rglob("*") if path.suffix not in {".db", ".db-wal", ".db-shm"}}
    assert now == before
    assert house.stranger.get(URL.format(slug=slug), headers=who).json()["left_today"] == 1
    kind: str = answer.json()["error"]["detail"]["kind"]
    return kind


def packed(*files: tuple[str, bytes], change: Callable[[zipfile.ZipInfo], None] = lambda _info: None) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            info = zipfile.ZipInfo(name)
            change(info)
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def with_byte(made: bytes, local: int, central: int, value: bytes) -> bytes:
    """A zip with a few bytes of its two headers changed."""
    changed = bytearray(made)
    second = changed.index(b"PK\x01\x02")
    changed[local : local + len(value)] = value
    changed[second + central : second + central + len(value)] = value
    return bytes(changed)


@attack("predictions: a zip bomb, and one whose header lies about its size")
def bombs(house: House) -> None:
    assert kind_of(house, packed((INSIDE, b"0" * 30_000_000)), zipped=True) == "zip_bomb"
    small = packed((INSIDE, predictions(1)))
    assert kind_of(house, with_byte(small, 22, 24, struct.pack("<I", 0xF0000000)), zipped=True) == "zip_bomb"
    liar = with_byte(packed((INSIDE, b"0.5\n" * 5_000_000)), 22, 24, struct.pack("<I", 4 * ROWS))
    assert kind_of(house, liar, zipped=True) in {"zip_damaged", "zip_crc", "zip_bomb"}
    nested = packed((INSIDE, packed((INSIDE, b"0" * 1_000_000))))
    assert kind_of(house, nested, zipped=True) in {"nul", "not_utf8", "long_line", "not_a_number"}


@attack("predictions: a zip whose name climbs out, is absolute, or lies in a folder")
def names(house: House) -> None:
    good = predictions(1)
    for name, kind in (
        (f"../{INSIDE}", "zip_climbs"),
        (f"a/../../../{INSIDE}", "zip_climbs"),
        (f"..\\{INSIDE}", "zip_climbs"),
        (f"/etc/cron.d/{INSIDE}", "zip_absolute"),
        (f"C:\\{INSIDE}", "zip_absolute"),
        (f"out/{INSIDE}", "zip_folder"),
        ("predictions.tsv.sh", "zip_name"),
        (f"{INSIDE} ", "zip_name"),
    ):
        assert kind_of(house, packed((name, good)), zipped=True) == kind, name


@attack("predictions: a zip with a symlink to the answers or to a device")
def symlinks(house: House) -> None:
    folder = answers.folder_of(house.app.state.settings)

    def link(info: zipfile.ZipInfo) -> None:
        info.create_system, info.external_attr = 3, 0o120777 << 16

    place(house, zipped=True)
    for target in (str(next(folder.iterdir())), "/etc/passwd", "/dev/zero", "../../sealed"):
        kind = kind_of(house, packed((INSIDE, target.encode()), change=link), zipped=True)
        assert kind in {"not_a_number", "header_unexpected", "too_few_rows"}, "its text is read, as any other's is"


@attack("predictions: a zip of two files, an encrypted one, one of another method, a damaged one, another archive")
def other_zips(house: House) -> None:
    good = predictions(1)
    plain = packed((INSIDE, good))
    for content, kind in (
        (packed((INSIDE, good), ("more.tsv", good)), "zip_several"),
        (packed((INSIDE, good), (f"__MACOSX/._{INSIDE}", b"x")), "zip_several"),
        (packed(), "zip_empty"),
        (with_byte(plain, 6, 8, b"\x01\x00"), "zip_encrypted"),
        (with_byte(plain, 8, 10, b"\x0c\x00"), "zip_method"),
        (plain[:80], "zip_damaged"),
        (b"\x1f\x8b\x08" + b"\0" * 50, "other_archive"),
        (good, "zip_expected"),
    ):
        assert kind_of(house, content, zipped=True) == kind, kind
    assert kind_of(house, plain) == "zip_unexpected"


@attack("predictions: NaN, infinity, and numbers that are none")
def numbers(house: House) -> None:
    rest = b"\n".join(predictions(1).splitlines()[1:]) + b"\n"
    for word, kind in (
        *((word, "nan") for word in ("nan", "NaN", "-nan")),
        *((word, "infinite") for word in ("inf", "Infinity", "-inf", "1e999")),
        *((word, "out_of_range") for word in ("1.0001", "-0.1", "1e9")),
        *((word, "not_a_number") for word in ("0x1", "1_0", "=1+1", "@SUM(1)", "true")),
        ("=cmd|'/c calc'!A0", "quotes"),
    ):
        assert kind_of(house, b"0.5\n" + word.encode() + b"\n" + rest[rest.index(b"\n") + 1 :]) == kind, word


@attack("predictions: a header that is a formula, and a million columns")
def shapes(house: House) -> None:
    good = predictions(1)
    assert kind_of(house, b"=HYPERLINK(1)\n" + good) in {"header_unexpected", "not_a_number"}
    wide = b"\t".join([b"0.5"] * 1_000_000) + b"\n"
    assert kind_of(house, wide + good) in {"long_line", "too_large"}
    assert kind_of(house, b"\t".join([b"0.5"] * 900) + b"\n" + good) == "too_many_columns"
    assert kind_of(house, b"\n" * 60_000 + good) in {"blank_line", "too_large"}
    assert kind_of(house, good * 100) in {"too_many_rows", "too_large"}
    assert kind_of(house, b"") == "empty"


@attack("predictions: UTF-16, Latin-1, NUL bytes and lone carriage returns")
def encodings(house: House) -> None:
    good = predictions(1)
    for content, kind in (
        (good.decode().encode("utf-16"), "utf16"),
        (b"0.\xb5\n" + good, "not_utf8"),
        (good.replace(b"\n", b"\0\n"), "nul"),
        (good.replace(b"\n", b"\r"), "lone_returns"),
    ):
        assert kind_of(house, content) == kind, kind


@attack("predictions: by which names a file is kept and shown")
def file_names(house: House) -> None:
    slug, who = place(house, zipped=False), house.token("read", "submit")
    for name in ("../../etc/passwd", "<script>alert(1)</script>.tsv", "a\x1b[2J.tsv", "=1+1.tsv"):
        send(house, slug, b"x\n", who, name=name)
    lines: list[dict[str, Any]] = house.stranger.get(
        f"{URL.format(slug=slug)}/uploads?everyone=true", headers=who
    ).json()["lines"]
    for line in lines:
        assert not set("/\\\x1b") & set(line["file_name"]), line
    page = house.member.get(f"/contests/{slug}/sealed").text
    assert "<script>alert" not in page
