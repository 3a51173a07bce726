"""Tables of rows in JSONL, CSV or Parquet, from a folder or S3, each row with the line that a person would look at."""

import csv
import io
import json
import math
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from labeling.errors import BadConfiguration, shown
from labeling.objects import open_objects, split_uri
from labeling.types import Cell, TableRow

FORMATS = "JSONL (.jsonl, .ndjson), CSV (.csv) or Parquet (.parquet)"
# What a table that was packed or saved otherwise begins with.
_OTHER_BODIES = {
    b"\x1f\x8b": "is packed with gzip; unpack it", b"PK\x03\x04": "is a ZIP or a spreadsheet; export it as CSV in UTF-8",
    b"BZh": "is packed with bzip2; unpack it", b"\x28\xb5\x2f\xfd": "is packed with zstd; unpack it",
    b"\xff\xfe": "is UTF-16; save it as UTF-8", b"\xfe\xff": "is UTF-16; save it as UTF-8",
    b"PAR1": "is Parquet; give it the suffix .parquet",
}
_MOST_LINES = 1000  # of one row of CSV: a quote that nobody closed must not swallow the rows behind it


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its line (of the text file, or the row's number in Parquet, from 1) and its values or why it has none."""

    line: int
    values: TableRow
    problem: str | None = None


def read_rows(uri: str, *, what: str, columns: Sequence[str] = ("video",)) -> Iterator[Row]:
    """Yield the rows of the table at a path or s3:// uri; `what` names it in errors, `columns` must be in its header.

    A row that cannot be read comes with a problem; empty cells and NaN come as None. Raises BadConfiguration where the
    table as a whole cannot be read.
    """
    return _reader_of(uri, what)(_body_of(uri, what), f"{what} {uri}", columns)


def write_rows(uri: str, rows: Iterable[TableRow], *, columns: Mapping[str, pa.DataType]) -> None:
    """Write rows as the uri's suffix says, whole or not at all; lists and mappings are JSON in CSV."""
    writers = {".jsonl": _jsonl, ".ndjson": _jsonl, ".csv": _csv, ".parquet": _parquet, ".pq": _parquet}
    writer = writers.get(_suffix_of(uri))
    if writer is None:
        raise BadConfiguration(f"{uri!r} has no known suffix; expected {FORMATS}")
    root, key = split_uri(uri)
    open_objects(root).put(key, writer(rows, columns))


def require_like(uri: str, columns: Mapping[str, pa.DataType]) -> None:
    """Refuse to write over what is no table with these columns; BadConfiguration names it."""
    root, key = split_uri(uri)
    try:
        body = open_objects(root).get(key)
    except FileNotFoundError:
        return
    try:
        row = next(_reader_of(uri, "table")(body, uri, tuple(columns)), None)
        if row is None or (row.problem is None and row.values.keys() <= columns.keys()):
            return
    except BadConfiguration:
        if not body:
            return
    raise BadConfiguration(f"{uri} is there and is no earlier output of this command; give another path, or move it away")


def _suffix_of(uri: str) -> str:
    return PurePath(uri).suffix.lower()


def _body_of(uri: str, what: str) -> bytes:
    root, key = split_uri(uri)
    try:
        if not uri.startswith("s3://"):
            _require_file(Path(root, key), f"{what} {uri}")
        return open_objects(root, unavailable="source_unavailable").get(key)
    except FileNotFoundError as error:
        raise BadConfiguration(f"{what} {uri} does not exist; correct its uri") from error
    except PermissionError as error:
        raise BadConfiguration(f"{what} {uri} may not be read; give this user the right to") from error


def _require_file(path: Path, name: str) -> None:
    """Refuse what would never end or never begin: a pipe, a device, a folder."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise BadConfiguration(f"{name} is no regular file; expected a file in {FORMATS}")


Reader = Callable[[bytes, str, Sequence[str]], Iterator[Row]]


def _reader_of(uri: str, what: str) -> Reader:
    readers: dict[str, Reader] = {
        ".jsonl": _from_jsonl, ".ndjson": _from_jsonl, ".csv": _from_csv, ".parquet": _from_parquet, ".pq": _from_parquet,
    }
    reader = readers.get(_suffix_of(uri))
    if reader is None:
        raise BadConfiguration(f"{what} {shown(uri)} has no known suffix; expected {FORMATS}, unpacked")
    return reader


def _from_jsonl(body: bytes, name: str, columns: Sequence[str]) -> Iterator[Row]:
    text = _text_of(body, name)
    if not text.strip():
        raise BadConfiguration(f"{name} is empty; expected one JSON object a line")
    if text.lstrip()[:1] == b"[":
        raise BadConfiguration(f"{name}, line 1: it begins an array; expected one JSON object a line")
    for line, part in enumerate(text.split(b"\n"), start=1):
        if not part.strip():
            continue
        try:
            values = loads(part)
        except (ValueError, RecursionError) as error:  # of JSON or of UTF-8
            yield Row(line, {}, f"the line is {shown(part[:80])}; expected one JSON object ({_short(error)})")
            continue
        if isinstance(values, dict):
            yield Row(line, {key: _none_if_nan(value) for key, value in values.items()})
        else:
            yield Row(line, {}, f"the line is {shown(part[:80])}; expected one JSON object, as {{\"video\": ...}}")


def loads(text: str | bytes) -> Cell:
    """Read JSON in which no name stands twice; ValueError says what is wrong, RecursionError that it is nested too deep."""
    return json.loads(text, object_pairs_hook=_named_once)


def _named_once(pairs: list[tuple[str, Cell]]) -> dict[str, Cell]:
    values = dict(pairs)
    if len(values) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"{shown(twice)} stands twice; expected each name once")
    return values


def _text_of(body: bytes, name: str) -> bytes:
    """The text without its mark of UTF-8; BadConfiguration where it is no such text at all."""
    for start, message in _OTHER_BODIES.items():
        if body.startswith(start):
            raise BadConfiguration(f"{name} {message}")
    return body.removeprefix(b"\xef\xbb\xbf")


def _from_csv(body: bytes, name: str, columns: Sequence[str]) -> Iterator[Row]:
    # Bytes that are no UTF-8 become halves of surrogate pairs, which cost the row that holds them and no other.
    lines = list(io.StringIO(_text_of(body, name).decode("utf-8", "surrogateescape"), newline=""))
    if len(lines) > 1 and all(map(_is_broken, lines[1:])):
        _refuse_encoding(body, name)
    csv.field_size_limit(1 << 30)  # the csv module's own limit of 128 KiB is shorter than a mask may be
    source = _CSVLines(lines)
    reader = csv.reader(source, strict=True)
    try:
        header = next(reader, [])
    except csv.Error as error:
        raise BadConfiguration(f"{name}, line 1 cannot be read as CSV ({error}); expected column names") from error
    _check_columns(header, f"{name}, line 1", columns)
    while True:
        line = source.begin()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            message = f"the line cannot be read as CSV ({error}); expected quotes around cells with commas or quotes"
            yield Row(line, {}, message)
            source.skip()
            continue
        if not cells:
            continue
        if len(cells) != len(header):
            yield Row(line, {}, f"the row has {len(cells)} cells; expected {len(header)}, as in the header")
        elif any(_is_broken(cell) for cell in cells):
            broken = next(n for n, cell in zip(header, cells, strict=True) if _is_broken(cell))
            yield Row(line, {}, f"{shown(broken)} is not UTF-8; save the table as UTF-8")
        else:
            yield Row(line, {key: cell if cell.strip() else None for key, cell in zip(header, cells, strict=True)})


class _CSVLines:
    """Lines for a csv.reader that can go back: behind a row that cannot be read, to the line after that row's first."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.lines, self.at, self.first = lines, 0, 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        if self.at == len(self.lines):
            raise StopIteration
        if self.at - self.first >= _MOST_LINES:
            raise csv.Error(f"a quote is open over {_MOST_LINES} lines")
        self.at += 1
        return self.lines[self.at - 1]

    def begin(self) -> int:
        """Begin a row here; returns its line."""
        self.first = self.at
        return self.first + 1

    def skip(self) -> None:
        """Leave the row that was begun behind its first line."""
        self.at = self.first + 1


def _refuse_encoding(body: bytes, name: str) -> None:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise BadConfiguration(f"{name}, line {line} is not UTF-8 at byte {error.start}; save it as UTF-8") from error


def _is_broken(cell: str) -> bool:
    return not cell.isascii() and any("\ud800" <= letter <= "\udfff" for letter in cell)


def _from_parquet(body: bytes, name: str, columns: Sequence[str]) -> Iterator[Row]:
    try:
        table = pq.ParquetFile(pa.BufferReader(body))
        _check_columns(table.schema_arrow.names, name, columns)
        line = 1
        for batch in table.iter_batches(batch_size=4096):
            yield from _rows_of_batch(batch, line)
            line += batch.num_rows
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        if isinstance(error, BadConfiguration):
            raise
        raise BadConfiguration(f"{name} cannot be read as Parquet ({_short(error)}); write it again") from error


def _rows_of_batch(batch: pa.RecordBatch, first_line: int) -> Iterator[Row]:
    try:
        rows = batch.to_pylist()
    except (ValueError, OverflowError, ArithmeticError) as error:  # text that is not UTF-8, a time that no calendar has
        if batch.num_rows == 1:
            yield Row(first_line, {}, f"row {first_line} holds a value that cannot be read ({_short(error)})")
            return
        for k in range(batch.num_rows):
            yield from _rows_of_batch(batch.slice(k, 1), first_line + k)
        return
    for line, values in enumerate(rows, start=first_line):
        yield Row(line, {key: _none_if_nan(value) for key, value in values.items()})


def _short(error: Exception) -> str:
    return str(error)[:200]


def _check_columns(columns: Sequence[str], name: str, expected: Sequence[str]) -> None:
    lacking = [column for column in expected if column not in columns]
    if lacking:
        cut = next((f"; it is cut by {c!r}, write commas" for c in ";\t|" if len(columns) == 1 and c in columns[0]), "")
        raise BadConfiguration(f"{name} has the columns {shown(list(columns))}; expected {lacking} among them{cut}")
    twice = [column for column, count in Counter(columns).items() if count > 1]
    if twice:
        raise BadConfiguration(f"{name} has the column {shown(twice[0])} more than once; expected each column once")


def _none_if_nan(value: object) -> object:
    return None if isinstance(value, float) and math.isnan(value) else value


def _jsonl(rows: Iterable[TableRow], columns: Mapping[str, pa.DataType]) -> bytes:
    lines = [json.dumps({key: row[key] for key in columns if row[key] is not None}) + "\n" for row in rows]
    return "".join(lines).encode()


def _csv(rows: Iterable[TableRow], columns: Mapping[str, pa.DataType]) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([json.dumps(row[key]) if isinstance(row[key], (list, dict)) else row[key] for key in columns])
    return out.getvalue().encode()


def _parquet(rows: Iterable[TableRow], columns: Mapping[str, pa.DataType]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(list(rows), schema=pa.schema(list(columns.items()))), sink, compression="zstd")
    return bytes(sink.getvalue())
