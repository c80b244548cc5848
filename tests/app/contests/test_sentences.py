"""Components, repeats and overlaps: against a naive union-find, on real files, kept once in the database."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from app.contests import facts
from app.contests.browsing import Ask, browse, browse_listed
from app.contests.marking import contains, marked
from app.contests.rows_at import STRIDE, PairFile, places, rows_at
from app.contests.sentences import Sentences, components, overlap, read_sentences, repeats
from ml.contract.pair_file import FileKind, sniff
from tests.factories import contest_over_http

TEXTS = st.sampled_from(["a", "b", "c", "d", "e", "f g", "f  g", "h"])
PAIRS = st.lists(st.tuples(TEXTS, TEXTS, st.sampled_from([0, 1])), min_size=1, max_size=25)


def read(path: Path, kind: FileKind) -> Sentences:
    return read_sentences(path, sniff(path, kind), kind)


def groups_of(pairs: list[tuple[str, str]]) -> dict[str, int]:
    """The naive way: names of groups run over until nothing changes."""
    group = {text: number for number, text in enumerate(sorted({text for pair in pairs for text in pair}))}
    while any(group[a] != group[b] for a, b in pairs):
        for a, b in pairs:
            group[a] = group[b] = min(group[a], group[b])
    return group


@settings(max_examples=60, deadline=None)
@given(PAIRS)
def test_components_are_those_of_a_naive_union_find(tmp_path_factory: pytest.TempPathFactory, rows: list) -> None:
    path = tmp_path_factory.mktemp("pairs") / "pairs.tsv"
    path.write_text("".join(f"{a}\t{b}\t{label}\n" for a, b, label in rows))
    layout = sniff(path, "train", label_column=2, text_columns=(0, 1), header=False)
    found = components(read_sentences(path, layout, "train"))
    plain = [(" ".join(a.split()), " ".join(b.split())) for a, b, _ in rows]
    group = groups_of(plain)
    sizes = sorted(([group[a] for a, _ in plain].count(name) for name in set(group.values())), reverse=True)
    assert (found.components, found.largest, found.sentences) == (len(sizes), sizes[0], len(group))
    assert sum(step.rows for step in found.sizes) == len(rows)
    for reach in found.reach:
        assert reach.rows == sum(size for size in sizes if size <= round(reach.share * len(rows)))
    positive = groups_of([pair for pair, row in zip(plain, rows, strict=True) if row[2]])
    wrong = [
        number
        for number, ((a, b), row) in enumerate(zip(plain, rows, strict=True), 1)
        if not row[2] and (a == b or (a in positive and positive.get(a) == positive.get(b)))
    ]
    assert (found.contradicted_rows, found.contradicted_lines) == (len(wrong), wrong[:20])


def test_what_two_files_share(tmp_path: Path) -> None:
    base, other = tmp_path / "train.tsv", tmp_path / "test.tsv"
    base.write_text("1 2\t3 4\t1\n3 4\t5\t0\n5\t3 4\t1\n6 6\t7\t0\n")
    other.write_text("3 4\t1 2\n5\t3 4\n7\t6 6\n1 2\t9\n8\t9\n")
    found = overlap(read(base, "train"), read(other, "test"))
    assert (found.sentences, found.shared_sentences, found.rows) == (7, 5, 5)
    assert (found.one_side, found.both_sides, found.pairs, found.swapped) == (1, 3, 3, 2)
    assert (found.positive, found.negative, found.both) == (1, 1, 1)
    assert [(item.line, item.base_line) for item in found.examples] == [(1, 1), (2, 2), (3, 4)]
    listed = repeats(read(base, "train"))
    assert (listed.repeats.lines, listed.contradictions.rows) == ([[2, 3]], 2)


def test_the_real_files(shared_data: Path) -> None:
    boards = [read(shared_data / f"gaiic2021/round1_test{name}.tsv", "test") for name in "AB"]
    found = overlap(*boards)
    assert (found.rows, found.shared_sentences) == (25_000, 4614)
    large = components(read(shared_data / "zh_ids/scale.tsv", "train"))
    assert (large.rows, large.components, large.largest, large.giants) == (79_125, 73_691, 41, [])


def test_rows_by_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text("".join(f"{line}\tx{line % 7}\t{line % 2}\n" for line in range(1, 3502)))
    file = PairFile(path, sniff(path, "train"), "train", ids=False)
    assert places(path).lines == 3501
    assert len(places(path).starts) == 4
    wanted = [1, 2, STRIDE, STRIDE + 1, 2500, 3501]
    assert {line: int(row.a) for line, row in rows_at(file, wanted).items()} == {line: line for line in wanted}
    page = browse(file, Ask(from_line=3451))
    assert (page.first, page.last, page.next_line, len(page.rows)) == (3451, 3500, 3501, 50)
    found = browse(file, Ask(label=1, search="X3", offset=2, limit=2))
    assert (found.total, [row.line for row in found.rows]) == (250, [31, 45])
    same = repeats(read_sentences(path, file.layout, "train")).repeats
    assert browse_listed(file, same, Ask()).total == 0


def test_shared_tokens_are_marked() -> None:
    assert marked("12 98 4", "98 4 7", ids=True).a == [("12 ", False), ("98 4", True)]
    found = marked("打开灯", "关灯", ids=False)
    assert (found.a, found.b) == ([("打开", False), ("灯", True)], [("关", False), ("灯", True)])
    assert contains("12 98 4", "98 4", ids=True)
    assert not contains("112 98", "12 98", ids=True)


def test_nothing_is_counted_twice(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    contest_over_http(client)
    first = client.get("/api/v1/contests/oppo/files/1/components").json()
    assert first["components"]["rows"] == 60
    monkeypatch.setattr(facts, "read_sentences", lambda *_: pytest.fail("read again"))
    assert client.get("/api/v1/contests/oppo/files/1/components").json() == first
    monkeypatch.undo()

    monkeypatch.setattr(facts, "SMALL_ROWS", 10)
    address = "/api/v1/contests/oppo/files/2/overlap?against=1"
    assert client.get(address).json()["overlap"] is None, "counted after the answer has left"
    assert client.get(address).json()["overlap"]["rows"] == 60
    pairs = client.get("/api/v1/contests/oppo/files/1/pairs?label=1&limit=2").json()
    assert (len(pairs["rows"]), pairs["next_line"]) == (2, None)
    assert client.get("/api/v1/contests/oppo/words").json() is None
    assert client.get("/api/v1/contests/oppo/words?run=7").status_code == 404
