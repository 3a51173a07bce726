"""Rows with the lines that a person would look at."""

from pathlib import Path

import pyarrow as pa
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
        ("t.csv", b"video\n\xff\n", "not UTF-8 at byte 6"),
        ("t.parquet", b"PAR1 no", "cannot be read as Parquet"),
        ("t.parquet", b"", "cannot be read as Parquet"),
        ("t.xlsx", b"", "no known suffix; expected JSONL"),
    ],
)
def test_a_table_that_cannot_be_read_is_named(name: str, body: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match=message) as got:
        rows_of(tmp_path / name, body)
    assert str(tmp_path / name) in str(got.value)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="does not exist; correct its uri"):
        list(read_rows(str(tmp_path / "none.csv"), what="table"))


def test_rows_are_written_to_s3_and_read_from_there(s3: str) -> None:
    write_rows(f"{s3}/x/t.parquet", [{"video": "a", "n": [1]}], columns={"video": pa.string(), "n": pa.list_(pa.int64())})
    assert [dict(row.values) for row in read_rows(f"{s3}/x/t.parquet", what="table")] == [{"video": "a", "n": [1]}]


def test_writing_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="known suffix"):
        write_rows(str(tmp_path / "t.txt"), [], columns={})
