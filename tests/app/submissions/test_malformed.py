"""Prediction files that can't be read: each kind of fault has a file here, and a message of its own that names the
file, what stands there and the way out."""

import io
import re
import struct
import time
import zipfile

import numpy as np
import pytest

from app.submissions.format import SubmissionFormat
from app.submissions.malformed import KINDS, Malformed
from app.submissions.reading import SHORT_LINE, Predictions, most_bytes, read_predictions

ROWS = 4
GOOD = b"0.1\n0.2\n0.3\n0.4\n"
PLAIN = SubmissionFormat()
ZIPPED = SubmissionFormat(zipped=True, file_name="result.tsv")
IDS = SubmissionFormat(columns=("id", "probability"), separator="comma", header=("id", "score"), first_id=1)
LABELS = SubmissionFormat(columns=("label",))
TABS = SubmissionFormat(columns=("id", "probability"))
PAIRS = SubmissionFormat(columns=("a", "b", "probability"))
SENTENCES = [("1 2", "3"), ("4", "5"), ("6", "7"), ("8", "9")]


def packed(*files: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in files:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return out.getvalue()


def flagged(offset_local: int, offset_central: int, value: bytes) -> bytes:
    """A good zip with a few bytes of its two headers changed."""
    made = bytearray(packed(("result.tsv", GOOD), method=zipfile.ZIP_STORED))
    central = made.index(b"PK\x01\x02")
    made[offset_local : offset_local + len(value)] = value
    made[central + offset_central : central + offset_central + len(value)] = value
    return bytes(made)


def broken_byte() -> bytes:
    made = packed(("result.tsv", GOOD), method=zipfile.ZIP_STORED)
    return made.replace(b"0.3\n", b"0.9\n")


def liar() -> bytes:
    """Its header claims four gigabytes."""
    return flagged(22, 24, struct.pack("<I", 0xF0000000))


#: kind -> (form, the file, what its message must hold)
CASES: dict[str, tuple[SubmissionFormat, bytes, str]] = {
    "empty": (PLAIN, b"", "is empty: send a line for each row"),
    "too_large": (PLAIN, b"0.5\n" * 100_000, "400000 bytes"),
    "utf16": (PLAIN, "0.1\n0.2\n".encode("utf-16"), "UTF-16: save it as UTF-8"),
    "not_utf8": (PLAIN, b"0.1\n0.\xb5\n", r"line 2: byte 3 (b'\xb5') is not UTF-8"),
    "nul": (PLAIN, b"0.1\n0.2\0\n0.3\n0.4\n", "line 2 holds NUL"),
    "lone_returns": (PLAIN, b"0.1\r0.2\r0.3\r0.4\r", "lone carriage return"),
    "long_line": (PLAIN, b"0." + b"1" * SHORT_LINE, "line 1 is longer than 4096 bytes"),
    "zip_expected": (ZIPPED, GOOD, "not a zip: this contest takes a zip of one file, result.tsv"),
    "zip_unexpected": (PLAIN, packed(("result.tsv", GOOD)), "is a zip: this contest takes the text file"),
    "other_archive": (ZIPPED, b"\x1f\x8b\x08\0\0\0\0\0", "packed with gzip: this contest takes a zip"),
    "zip_damaged": (ZIPPED, packed(("result.tsv", GOOD))[:60], "damaged zip"),
    "zip_crc": (ZIPPED, broken_byte(), "checksum of result.tsv is wrong"),
    "zip_empty": (ZIPPED, packed(), "holds no file: pack result.tsv"),
    "zip_several": (ZIPPED, packed(("result.tsv", GOOD), ("__MACOSX/._result.tsv", b"x")), "2 files ('result.tsv', "),
    "zip_climbs": (ZIPPED, packed(("../result.tsv", GOOD)), "'../result.tsv' climbs out"),
    "zip_absolute": (ZIPPED, packed(("/etc/result.tsv", GOOD)), "'/etc/result.tsv' is an absolute path"),
    "zip_folder": (ZIPPED, packed(("out/result.tsv", GOOD)), "'out/result.tsv' lies in a folder"),
    "zip_name": (ZIPPED, packed(("answer.tsv", GOOD)), "'answer.tsv': the file inside is called result.tsv"),
    "zip_encrypted": (ZIPPED, flagged(6, 8, b"\x01\x00"), "is encrypted: pack it without a password"),
    "zip_bomb": (ZIPPED, packed(("result.tsv", b"0" * 5_000_000)), "unpacks to 5000000 bytes"),
    "zip_method": (ZIPPED, packed(("result.tsv", GOOD), method=zipfile.ZIP_LZMA), "method 14: use deflate"),
    "header_missing": (IDS, b"1,0.1\n2,0.2\n3,0.3\n4,0.4\n", "header is missing: put 'id,score' above '1,0.1'"),
    "header_other": (IDS, b"row,score\n1,0.1\n", "header is 'row,score' instead of 'id,score'"),
    "header_unexpected": (PLAIN, b"probability\n" + GOOD, "'probability' is a header, and this contest takes none"),
    "separator": (TABS, b"0;0.1\n1;0.2\n", "'0;0.1' is divided by semicolons: divide the columns by tabs"),
    "too_few_columns": (TABS, b"0\t0.1\n1\n", "line 2: '1' has 1 of 2 columns (id, probability)"),
    "too_many_columns": (PLAIN, b"0\t0.1\n", "'0\\t0.1' has 2 columns instead of 1: leave only probability"),
    "blank_line": (PLAIN, b"0.1\n\n0.3\n0.4\n", "line 2 is empty and others follow"),
    "too_few_rows": (PLAIN, GOOD[:12], "answers 3 rows of 4"),
    "too_many_rows": (PLAIN, GOOD + b"0.5\n0.6\n", "answers 6 rows, and the test file has 4"),
    "no_value": (TABS, b"0\t\n", "line 1: the prediction is missing"),
    "not_a_number": (PLAIN, b"0.1\n0.2x\n", "line 2: '0.2x' is not a number: write it as 0.8778"),
    "comma_decimal": (PLAIN, b"0.1\n0,87\n", "line 2: '0,87' has a decimal comma"),
    "percent": (PLAIN, b"87%\n", "line 1: '87%' is a percentage"),
    "quotes": (PLAIN, b'"0.1"\n', "line 1: '\"0.1\"' stands in quotes"),
    "nan": (PLAIN, b"0.1\n0.2\nNaN\n", "line 3: 'NaN' can't be ranked"),
    "infinite": (PLAIN, b"0.1\n1e999\n", "line 2: '1e999' is infinite"),
    "out_of_range": (PLAIN, b"0.1\n-2.5\n", "line 2: '-2.5' is not from 0 to 1: send probabilities"),
    "label_text": (LABELS, b"yes\nno\n", "line 1: the label is the text 'yes': write 1 for yes and 0 for no"),
    "label_number": (LABELS, b"0\n0.7\n", "line 2: the label '0.7' is neither 0 nor 1: round it"),
    "id_text": (IDS, b"id,score\nx1,0.1\n", "line 2: the id 'x1' is no whole number from 1 to 4"),
    "id_unknown": (IDS, b"id,score\n0,0.1\n", "line 2: no test row has the id '0': they go from 1 to 4"),
    "id_twice": (IDS, b"id,score\n1,0.1\n1,0.2\n", "line 3: the id '1' stands in line 2 already"),
    "id_missing": (IDS, b"id,score\n1,0.1\n4,0.2\n", "2 ids are missing, 2, 3 (2 of 4 rows are answered)"),
    "sentence": (PAIRS, b"1 2\t3\t0.1\n6\t5\t0.2\n", "line 2: '6' is not the sentence of test row 2, '4'"),
}


def read(content: bytes, form: SubmissionFormat = PLAIN) -> Predictions:
    return read_predictions(io.BytesIO(content), "mine.tsv", form, ROWS, SENTENCES if form.with_sentences else None)


def test_every_kind_has_a_file_here() -> None:
    assert set(CASES) == set(KINDS)
    assert len(KINDS) == len(set(KINDS)) >= 20


@pytest.mark.parametrize("kind", CASES)
def test_a_malformed_file(kind: str) -> None:
    form, content, expected = CASES[kind]
    with pytest.raises(Malformed) as caught:
        read(content, form)
    assert caught.value.kind == kind
    assert expected in caught.value.message
    assert caught.value.message.startswith("mine.tsv")
    assert caught.value.fields[0].field == "file"
    assert caught.value.detail == {"kind": kind}


@pytest.mark.parametrize("value", ["\u0131nf", "In\ufb01nity", "\u0131nf\u0131n\u0131ty", "1_0", "\uff11", "\u0663"])
def test_what_only_looks_like_a_number_is_none(value: str) -> None:
    with pytest.raises(Malformed, match=r"line 1: .* is not a number|is a header") as caught:
        read(f"{value}\n0.5\n".encode(), PLAIN)
    assert caught.value.kind in {"not_a_number", "header_unexpected"}
    with pytest.raises(Malformed, match="line 2: "):
        read(f"0.5\n{value}\n".encode(), PLAIN)


def test_a_long_number_that_is_none_is_refused_at_once() -> None:
    """A pattern that may divide the digits in two ways tries all of them: an hour for such a line."""
    line = b"1 2\t3\t0.1\n4\t5\t" + b"9" * 60_000 + b"x\n"
    began = time.perf_counter()
    with pytest.raises(Malformed, match=r"line 2: .* is not a number"):
        read(line, PAIRS)
    assert time.perf_counter() - began < 1


def test_no_two_messages_are_alike() -> None:
    said = {}
    for kind, (form, content, _expected) in CASES.items():
        with pytest.raises(Malformed) as caught:
            read(content, form)
        said[re.sub(r"'[^']*'|\d+", "", caught.value.message)] = kind
    assert len(said) == len(CASES)


@pytest.mark.parametrize(
    ("form", "content", "expected"),
    [
        (PLAIN, GOOD, [0.1, 0.2, 0.3, 0.4]),
        (PLAIN, b"\xef\xbb\xbf0.1\r\n0.2\r\n0.3\r\n0.4", [0.1, 0.2, 0.3, 0.4]),
        (PLAIN, b"0\n1\n1e-3\n.5\n\n\n", [0, 1, 0.001, 0.5]),
        (ZIPPED, packed(("result.tsv", GOOD)), [0.1, 0.2, 0.3, 0.4]),
        (ZIPPED, packed(("result.tsv", GOOD), method=zipfile.ZIP_STORED), [0.1, 0.2, 0.3, 0.4]),
        (LABELS, b"0\n1\n1\n0\n", [0, 1, 1, 0]),
        (IDS, b"id,score\n1,0.1\n2,0.2\n3,0.3\n4,0.4\n", [0.1, 0.2, 0.3, 0.4]),
        (PAIRS, b"1  2\t3\t0.1\n4\t5\t0.2\n6\t7\t0.3\n8\t9\t0.4\n", [0.1, 0.2, 0.3, 0.4]),
    ],
)
def test_a_good_file(form: SubmissionFormat, content: bytes, expected: list[float]) -> None:
    found = read(content, form)
    assert found.values.tolist() == expected
    assert found.remarks == ()


def test_rows_in_another_order_are_put_in_order_and_it_is_said() -> None:
    found = read(b"id,score\n1,0.1\n3,0.3\n2,0.2\n4,0.4\n", IDS)
    assert found.values.tolist() == [0.1, 0.2, 0.3, 0.4]
    assert found.remarks == ("the rows were put in order by their ids, from line 3 on",)


def test_a_constant_is_taken_and_it_is_said() -> None:
    assert read(b"0.5\n" * 4).remarks == ("every row is predicted 0.5: a constant ranks nothing",)


def test_a_large_file_is_read_quickly_and_whole() -> None:
    values = np.random.default_rng(0).random(200_000)
    content = "".join(f"{value!r}\n" for value in values.tolist()).encode()
    assert len(content) < most_bytes(len(values), None)
    found = read_predictions(io.BytesIO(content), "large.tsv", PLAIN, len(values))
    assert np.array_equal(found.values, values)


@pytest.mark.parametrize("seed", range(3))
def test_whatever_bytes_come_nothing_but_a_message_does(seed: int) -> None:
    """Bytes changed, cut and added at random in good files of every form: read, or refused with a message."""
    draw, kinds = np.random.default_rng(seed), set[str]()
    goods = [(form, content) for form, content, _ in CASES.values()] + [(ZIPPED, packed(("result.tsv", GOOD)))]
    for form, content in goods:
        if len(content) > 10_000:
            continue
        for _ in range(20):
            made = bytearray(content)
            for _ in range(int(draw.integers(1, 4))):
                place = int(draw.integers(0, len(made) + 1))
                made[place : place + int(draw.integers(0, 3))] = draw.bytes(int(draw.integers(0, 3)))
            try:
                read(bytes(made), form)
            except Malformed as error:
                kinds.add(error.kind)
    assert kinds <= set(KINDS)
    assert len(kinds) > 15
