"""Rows with the lines that a person would look at."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labeling.errors import BadConfiguration
from labeling.ingest.tables import Row, read_rows, write_rows


def rows_of(path: Path, body: bytes) -> list[Row]:
    path.write_bytes(body)
    return list(read_rows(str(path), what="table"))


def test_jsonl_lines_count_blank_ones(tmp_path: Path) -> None:
    rows = rows_of(tmp_path / "t.jsonl", b'\xef\xbb\xbf{"video": "a"}\r\n\n[1]\n{"video": NaN}\n{"video"\n\xff\n')
    assert [(row.line, dict(row.values), row.problem is None) for row in rows] == [
        (1, {"video": "a"}, True), (3, {}, False), (4, {"video": None}, True), (5, {}, False), (6, {}, False),
    ]


def test_csv_lines_are_those_of_the_file(tmp_path: Path) -> None:
    rows = rows_of(tmp_path / "t.csv", b'\xef\xbb\xbfvideo,note\na,"two\nlines"\nb\n,\nc,x\n')
    assert [(row.line, dict(row.values)) for row in rows] == [
        (2, {"video": "a", "note": "two\nlines"}), (4, {}), (5, {"video": None, "note": None}),
        (6, {"video": "c", "note": "x"}),
    ]
    assert rows[1].problem == "the row has 1 cells; expected 2, as in the header"


def test_a_csv_cell_may_be_long(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path / "t.csv", b"video,mask\na," + b"x" * 300_000 + b"\n")
    assert len(row.values["mask"]) == 300_000


def test_csv_with_an_open_quote_keeps_what_came_before(tmp_path: Path) -> None:
    rows = rows_of(tmp_path / "t.csv", b'video,note\na,b\nc,"never closed\n')
    assert rows[0].values["video"] == "a"
    assert "cannot be read as CSV" in (rows[1].problem or "")


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("t.csv", b"name\na\n", r"has the columns \['name'\]; expected \['video'\]"),
        ("t.csv", b"", r"has the columns \[\]"),
        ("t.csv", b"video\n\xff\n", "line 2 is not UTF-8 at byte 6"),
        ("t.csv", b"video;note\na;b\n", "line 1 has the columns .*cut by ';', write commas"),
        ("t.csv", b"video,video\na,b\n", "line 1 has the column 'video' more than once"),
        ("t.csv", "video\na\n".encode("utf-16"), "is UTF-16; save it as UTF-8"),
        ("t.csv", b'vi"deo\n"a"b\n', "line 1"),
        ("t.jsonl", b'[{"video": "a"}]', "line 1: it begins an array; expected one JSON object a line"),
        ("t.jsonl", b" \n", "is empty; expected one JSON object a line"),
        ("t.jsonl", b"\x1f\x8b\x08\0", "is packed with gzip; unpack it"),
        ("t.jsonl.gz", b"\x1f\x8b\x08\0", "no known suffix; expected .*, unpacked"),
        ("t.csv", b"PK\x03\x04", "is a ZIP or a spreadsheet"),
        ("t.parquet", b"PAR1 no", "cannot be read as Parquet"),
        ("t.parquet", b"", "cannot be read as Parquet"),
        ("t.xlsx", b"", "no known suffix; expected JSONL"),
    ],
)
def test_a_table_that_cannot_be_read_is_named(name: str, body: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match=message) as got:
        rows_of(tmp_path / name, body)
    assert str(tmp_path / name) in str(got.value)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "t.jsonl")
    with pytest.raises(BadConfiguration, match="is no regular file"):
        list(read_rows(str(tmp_path / "t.jsonl"), what="table"))


def test_a_row_of_csv_that_cannot_be_read_costs_itself_alone(tmp_path: Path) -> None:
    body = b'video,note\na,b\nc,"x"y\nd,\xff\ne,"never closed\n' + b"f,g\n" * 3
    rows = rows_of(tmp_path / "t.csv", body)
    assert [(row.line, row.values.get("video")) for row in rows] == [
        (2, "a"), (3, None), (4, None), (5, None), (6, "f"), (7, "f"), (8, "f"),
    ]
    assert ["cannot be read as CSV" in (row.problem or "") for row in rows] == [False, True, False, True, *[False] * 3]
    assert "'note' is not UTF-8" in (rows[2].problem or "")


def test_a_cell_of_parquet_that_cannot_be_read_costs_its_row_alone(tmp_path: Path) -> None:
    names = pa.array([b"a", b"\xff", b"c"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"video": names, "k": [1, 2, 3]}), tmp_path / "t.parquet")
    rows = list(read_rows(str(tmp_path / "t.parquet"), what="table"))
    assert [(row.line, row.values.get("video"), row.problem is None) for row in rows] == [
        (1, "a", True), (2, None, False), (3, "c", True),
    ]


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="does not exist; correct its uri"):
        list(read_rows(str(tmp_path / "none.csv"), what="table"))


def test_rows_are_written_to_s3_and_read_from_there(s3: str) -> None:
    write_rows(f"{s3}/x/t.parquet", [{"video": "a", "n": [1]}], columns={"video": pa.string(), "n": pa.list_(pa.int64())})
    assert [dict(row.values) for row in read_rows(f"{s3}/x/t.parquet", what="table")] == [{"video": "a", "n": [1]}]


def test_writing_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="known suffix"):
        write_rows(str(tmp_path / "t.txt"), [], columns={})
