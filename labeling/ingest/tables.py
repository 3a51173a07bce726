"""Tables of rows in JSONL, CSV or Parquet, from a folder or S3, each row with the line that a person would look at."""

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from labeling.errors import BadConfiguration
from labeling.objects import open_objects, split_uri

FORMATS = "JSONL (.jsonl, .ndjson), CSV (.csv) or Parquet (.parquet)"


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its line (of the text file, or the row's number in Parquet, from 1) and its values or why it has none."""

    line: int
    values: Mapping[str, Any]
    problem: str | None = None


def read_rows(uri: str, *, what: str, columns: Sequence[str] = ("video",)) -> Iterator[Row]:
    """Yield the rows of the table at a path or s3:// uri; `what` names it in errors, `columns` must be in its header.

    A row that cannot be read comes with a problem; empty cells and NaN come as None. Raises BadConfiguration where the
    table as a whole cannot be read.
    """
    return _reader_of(uri, what)(_body_of(uri, what), f"{what} {uri}", columns)


def write_rows(uri: str, rows: Iterable[Mapping[str, Any]], *, columns: Mapping[str, pa.DataType]) -> None:
    """Write rows as the uri's suffix says, whole or not at all; lists and mappings are JSON in CSV."""
    writers = {".jsonl": _jsonl, ".ndjson": _jsonl, ".csv": _csv, ".parquet": _parquet, ".pq": _parquet}
    writer = writers.get(_suffix_of(uri))
    if writer is None:
        raise BadConfiguration(f"{uri!r} has no known suffix; expected {FORMATS}")
    root, key = split_uri(uri)
    open_objects(root).put(key, writer(rows, columns))


def _suffix_of(uri: str) -> str:
    return PurePath(uri).suffix.lower()


def _body_of(uri: str, what: str) -> bytes:
    root, key = split_uri(uri)
    try:
        return open_objects(root, unavailable="source_unavailable").get(key)
    except FileNotFoundError as error:
        raise BadConfiguration(f"{what} {uri} does not exist; correct its uri") from error


Reader = Callable[[bytes, str, Sequence[str]], Iterator[Row]]


def _reader_of(uri: str, what: str) -> Reader:
    readers: dict[str, Reader] = {
        ".jsonl": _from_jsonl, ".ndjson": _from_jsonl, ".csv": _from_csv, ".parquet": _from_parquet, ".pq": _from_parquet,
    }
    reader = readers.get(_suffix_of(uri))
    if reader is None:
        raise BadConfiguration(f"{what} {uri!r} has no known suffix; expected {FORMATS}")
    return reader


def _from_jsonl(body: bytes, name: str, columns: Sequence[str]) -> Iterator[Row]:
    for line, text in enumerate(body.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not text.strip():
            continue
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:  # of JSON or of UTF-8
            yield Row(line, {}, f"the line is {text[:80]!r}; expected one JSON object ({error})")
            continue
        if isinstance(values, dict):
            yield Row(line, {key: _none_if_nan(value) for key, value in values.items()})
        else:
            yield Row(line, {}, f"the line is {text[:80]!r}; expected one JSON object, as {{\"video\": ...}}")


def _from_csv(body: bytes, name: str, columns: Sequence[str]) -> Iterator[Row]:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadConfiguration(f"{name} is not UTF-8 at byte {error.start}; save it as UTF-8") from error
    csv.field_size_limit(1 << 30)  # the csv module's own limit of 128 KiB is shorter than a mask may be
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header = next(reader, [])
    _check_columns(header, name, columns)
    line = reader.line_num + 1
    try:
        for cells in reader:
            if len(cells) == len(header):
                yield Row(line, {key: cell if cell.strip() else None for key, cell in zip(header, cells, strict=True)})
            elif cells:
                yield Row(line, {}, f"the row has {len(cells)} cells; expected {len(header)}, as in the header")
            line = reader.line_num + 1
    except csv.Error as error:
        yield Row(line, {}, f"the rest of the file cannot be read as CSV ({error}); expected quotes around cells with commas")


def _from_parquet(body: bytes, name: str, columns: Sequence[str]) -> Iterator[Row]:
    try:
        table = pq.ParquetFile(pa.BufferReader(body))
        _check_columns(table.schema_arrow.names, name, columns)
        batches = table.iter_batches(batch_size=4096)
        line = 1
        for batch in batches:
            for values in batch.to_pylist():
                yield Row(line, {key: _none_if_nan(value) for key, value in values.items()})
                line += 1
    except (pa.ArrowException, OSError) as error:
        raise BadConfiguration(f"{name} cannot be read as Parquet ({error}); write it again") from error


def _check_columns(found: Sequence[str], name: str, expected: Sequence[str]) -> None:
    lacking = [column for column in expected if column not in found]
    if lacking:
        raise BadConfiguration(f"{name} has the columns {list(found)}; expected {lacking} among them")


def _none_if_nan(value: object) -> object:
    return None if isinstance(value, float) and math.isnan(value) else value


def _jsonl(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, pa.DataType]) -> bytes:
    lines = [json.dumps({key: row[key] for key in columns if row[key] is not None}) + "\n" for row in rows]
    return "".join(lines).encode()


def _csv(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, pa.DataType]) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([json.dumps(row[key]) if isinstance(row[key], (list, dict)) else row[key] for key in columns])
    return out.getvalue().encode()


def _parquet(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, pa.DataType]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(list(rows), schema=pa.schema(list(columns.items()))), sink, compression="zstd")
    return bytes(sink.getvalue())
