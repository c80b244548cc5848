"""Reading pair files: what is a row, what is a bad row, and where the columns stand."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.contract import pair_file
from ml.contract.pair_file import BadRow, PairFileLayout, PairRow, read_rows, sniff

#: file, kind, good rows, positives; the labels are the publishers'
REAL = [
    ("afqmc/train.tsv", "train"),
    ("afqmc/dev.tsv", "train"),
    ("lcqmc/dev.tsv", "train"),
    ("mrpc/train.tsv", "train"),
    ("mrpc/dev.tsv", "train"),
    ("xiaobu/labelled.tsv", "train"),
    ("xiaobu/unlabelled.tsv", "test"),
    ("zh_ids/xiaobu_labelled.tsv", "train"),
    ("gaiic2021/round1_testA.tsv", "test"),
    ("gaiic2021/round1_testB.tsv", "test"),
]
sentence = st.text(
    st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="\t\n\r\0\ufeff"), min_size=1
).filter(lambda text: text.strip() == text and text)


def write(folder: Path, content: bytes, name: str = "pairs.tsv") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def read(path: Path, kind: str = "train", **said: object) -> list[PairRow | BadRow]:
    return list(read_rows(path, sniff(path, kind, **said), kind))  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "kind"), REAL)
def test_real_files_are_read_whole(shared_data: Path, name: str, kind: str) -> None:
    path = shared_data / name
    if not path.is_file():
        path = path.with_suffix(".tsv")
    rows = read(path, kind)
    bad = [row for row in rows if isinstance(row, BadRow)]
    assert bad == []
    lines = path.read_bytes().count(b"\n") + (not path.read_bytes().endswith(b"\n"))
    assert len(rows) in {lines, lines - 1}  # a header, or none
    if kind == "train":
        share = sum(row.label or 0 for row in rows if isinstance(row, PairRow)) / len(rows)
        assert 0.2 < share < 0.8


@given(pairs=st.lists(st.tuples(sentence, sentence, st.sampled_from([0, 1])), min_size=2, max_size=20))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str, int]]) -> None:
    """Any text without tabs and line ends comes back as it was, U+2028 and lone quotes included."""
    path = write(tmp_path_factory.mktemp("pairs"), "".join(f"{a}\t{b}\t{label}\n" for a, b, label in pairs).encode())
    layout = PairFileLayout(columns=3, label_column=2)
    rows = list(read_rows(path, layout, "train"))
    assert [(row.a, row.b, row.label) for row in rows if isinstance(row, PairRow)] == pairs
    assert [row.line for row in rows] == list(range(1, len(pairs) + 1))


def test_each_bad_row_is_named(tmp_path: Path) -> None:
    good = "一\t二\t1\n三\t四\t0\n" * 3
    bad = "五\t六\n七\t八\t2\n\t九\t1\n\n十\t\t0\n甲\t乙\t\n"
    path = write(tmp_path, good.encode() + bad.encode() + b"\xff\xfe\tx\t1\n" + b"a\0b\tc\t1\n")
    found = [(row.line, row.reason) for row in read(path) if isinstance(row, BadRow)]
    assert found[:6] == [
        (7, "2 fields instead of 3"),
        (8, "the label is '2', not 0 or 1"),
        (9, "the first sentence is empty"),
        (10, "an empty line"),
        (11, "the second sentence is empty"),
        (12, "the label is missing"),
    ]
    assert found[6][0] == 13
    assert "is not UTF-8" in found[6][1]
    assert found[7] == (14, "it holds NUL bytes (is the file UTF-16? save it as UTF-8)")


def test_line_ends_and_marks(tmp_path: Path) -> None:
    path = write(tmp_path, "\ufeff甲\t乙\t1\r\n丙\t丁\t0\r\n戊\t己\t1".encode())
    assert [(row.line, row.a, row.b, row.label) for row in read(path) if isinstance(row, PairRow)] == [
        (1, "甲", "乙", 1),
        (2, "丙", "丁", 0),
        (3, "戊", "己", 1),
    ]


@pytest.mark.parametrize(
    ("text", "layout"),
    [
        ("a\tb\t1\nc\td\t0\n", {"label_column": 2, "text_columns": (0, 1), "header": False}),
        ("1\ta\tb\n0\tc\td\n", {"label_column": 0, "text_columns": (1, 2), "header": False}),
        ("sentence1\tsentence2\tlabel\na\tb\t1\nc\td\t0\n", {"label_column": 2, "header": True}),
        (
            "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t10\t11\ta\tb\n0\t12\t13\tc\td\n",
            {"label_column": 0, "text_columns": (3, 4), "header": True},
        ),
        ("句子一,句子二,标签\n甲,乙,1\n丙,丁,0\n", {"label_column": 2, "delimiter": ",", "header": True}),
        ('"a, b",c,1\nd,e,0\n', {"label_column": 2, "delimiter": ",", "columns": 3}),
    ],
)
def test_layouts_are_found(tmp_path: Path, text: str, layout: dict[str, object]) -> None:
    found = sniff(write(tmp_path, text.encode()), "train").model_dump()
    assert {key: found[key] for key in layout} == layout
    assert all(isinstance(row, PairRow) for row in read(tmp_path / "pairs.tsv"))


def test_a_test_file_has_no_label(tmp_path: Path) -> None:
    path = write(tmp_path, b"1 2\t3 4\n5\t6\n\t7\n")
    rows = read(path, "test")
    assert [(row.a, row.b, row.label) for row in rows if isinstance(row, PairRow)] == [
        ("1 2", "3 4", None),
        ("5", "6", None),
        ("", "7", None),  # predicted all the same: predictions answer the file line by line
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no rows"),
        (b"only one column\nand here\n", "line 1: 'only one column' has neither a tab nor a comma"),
        (b"a\tb\nc\td\n", "a train file needs a label"),
        (b"a\tb\tc\td\te\nf\tg\th\ti\tj\n", "has 5 columns and no header that names two sentences"),
        ("甲\t乙\t1\n".encode("utf-16"), "is UTF-16: save it as UTF-8"),
        (b"PK\x03\x04rest", "is a compressed file: unpack it"),
    ],
)
def test_hopeless_files_are_told(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=r"pairs\.tsv") as error:
        sniff(write(tmp_path, content), "train")
    assert message in str(error.value)


def test_what_the_caller_says_wins(tmp_path: Path) -> None:
    path = write(tmp_path, b"0\ta\tb\t1\n1\tc\td\t0\n")
    layout = sniff(path, "train", label_column=0, text_columns=(1, 2), header=False)
    assert [row.label for row in read_rows(path, layout, "train") if isinstance(row, PairRow)] == [0, 1]
    unknown = write(tmp_path, b"first\tsecond\tsame?\na\tb\t1\nc\td\t0\n", "named.tsv")
    assert sniff(unknown, "train").header is True
    assert sniff(unknown, "train", header=False).header is False
    with pytest.raises(ValueError, match="there is no label column 9"):
        sniff(path, "train", label_column=9, text_columns=(1, 2))


def test_a_line_without_end_does_not_fill_memory(tmp_path: Path) -> None:
    path = write(tmp_path, b"a\tb\t1\n" + b"x" * (3 << 20) + b"\nc\td\t0\n")
    rows = read(path)
    assert [row.line for row in rows] == [1, 2, 3]
    assert isinstance(rows[1], BadRow)
    assert "longer than 1048576 bytes" in rows[1].reason
    assert len(rows[1].text) <= 200


def test_a_line_of_just_the_longest_length_is_read(tmp_path: Path) -> None:
    longest = b"x" * ((1 << 20) - 4) + b"\tb\t1"
    path = write(tmp_path, longest + b"\nc\td\t0\n" + b"y" + longest + b"\ne\tf\t1\n")
    rows = list(read_rows(path, PairFileLayout(columns=3, label_column=2), "train"))
    assert [(row.line, type(row)) for row in rows] == [(1, PairRow), (2, PairRow), (3, BadRow), (4, PairRow)]


def test_a_very_long_line_is_shown_from_its_begin(tmp_path: Path) -> None:
    path = write(tmp_path, b"a\tb\t1\n" + b"begin" + b"x" * (3 << 20) + b"\nc\td\t0\n")
    bad = read(path)[1]
    assert isinstance(bad, BadRow)
    assert bad.text.startswith("beginx")


@pytest.mark.parametrize(
    "text", ["y\tscore\t1\na\tb\t0\nc\td\t1\n", "sentence1\ttext2\t1\na\tb\t0\n", "1\t标签\tx\n0\ta\tb\n1\tc\td\n"]
)
def test_a_first_row_with_a_label_is_no_header_whatever_its_words(tmp_path: Path, text: str) -> None:
    rows = read(write(tmp_path, text.encode()))
    assert len(rows) == text.count("\n")
    assert all(isinstance(row, PairRow) for row in rows)


@pytest.mark.parametrize("label", ["", "2", "nan", "-1"])
def test_a_first_row_whose_label_is_missing_or_wrong_is_told(tmp_path: Path, label: str) -> None:
    rows = read(write(tmp_path, f"a\tb\t{label}\nc\td\t0\ne\tf\t1\n".encode()))
    assert [(row.line, type(row)) for row in rows] == [(1, BadRow), (2, PairRow), (3, PairRow)]


def test_one_tab_does_not_make_a_comma_file_one_of_tabs(tmp_path: Path) -> None:
    rows = read(write(tmp_path, "甲,乙,1\n丙\t一,丁,0\n戊,己,1\n".encode()))
    assert [(row.a, row.label) for row in rows if isinstance(row, PairRow)] == [("甲", 1), ("丙\t一", 0), ("戊", 1)]
    with pytest.raises(ValueError, match="line 2: 'two' has neither a tab nor a comma"):
        sniff(write(tmp_path, b"one\tpair\ntwo\nthree\nfour\n"), "train")


def test_the_sample_is_bounded_however_long_its_lines_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_file, "SAMPLE_TEXT", 1000)
    path = write(tmp_path, b"a\tb\t1\n" * 400)
    assert 1000 / 5 < len(pair_file._sample(path)) < 1000 / 5 + 2


@pytest.mark.parametrize("first", [b"", b"\xff\tx", b"a\0\tb"])
def test_a_row_below_a_line_that_can_not_be_read_is_no_header(tmp_path: Path, first: bytes) -> None:
    """The reader takes line 1 alone for a header: told of another, it would pass over line 1 without a word."""
    rows = read(write(tmp_path, first + b"\ntext2\tq1\nc\td\ne\tf\n"), "test")
    assert [(row.line, type(row)) for row in rows] == [(1, BadRow), (2, PairRow), (3, PairRow), (4, PairRow)]
    rows = read(write(tmp_path, first + b"\nsentence\tquestion\tsame?\nc\td\t1\ne\tf\t0\n"))
    assert [(row.line, type(row)) for row in rows] == [(1, BadRow), (2, BadRow), (3, PairRow), (4, PairRow)]
