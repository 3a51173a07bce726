"""Writes rows of many batches into large files: one at a time in local scratch, put under its content's name when full."""

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from labeling.objects import Objects
from labeling.store import layout
from labeling.store.parquet import open_writer, sha256_of
from labeling.store.schemas import TableRow

# Rows of neighbouring tracks share a row group until it has this many: fewer make footers that outweigh a track, more make
# a reader decode what it did not ask for.
GROUP_ROWS = 1024


class Packer:
    """Collects rows of one table and bucket; a context manager that removes its scratch file, whatever happens.

    `files` are rows of `schemas.FILES` of what was put.
    """

    def __init__(
        self, objects: Objects, table: str, bucket: str, *, schema: pa.Schema, scratch: Path, target_bytes: int
    ) -> None:
        self._objects, self._table, self._bucket, self._schema = objects, table, bucket, schema
        self._path, self._target_bytes = scratch / f"{table}-{bucket}.parquet", target_bytes
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []
        self._num_rows = 0
        self.files: list[TableRow] = []

    def __enter__(self) -> "Packer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()
        self._path.unlink(missing_ok=True)

    def add(self, parts: Iterable[pa.Table]) -> int:
        """Write rows that must stay together, in order; returns the index in `files` of the file that they go to."""
        if self._writer is None:
            self._writer, self._num_rows = open_writer(self._path, self._schema), 0
        for part in filter(len, parts):
            self._waiting.append(part)
            self._num_rows += len(part)
            if sum(map(len, self._waiting)) >= GROUP_ROWS:
                self._write_group()
        number = len(self.files)
        if self._path.stat().st_size >= self._target_bytes:
            self.finish()
        return number

    def finish(self) -> None:
        """Put the file that is being written, if there is one."""
        if self._writer is None:
            return
        self._write_group()
        self._writer.close()
        self._writer = None
        sha256 = sha256_of(self._path)
        key = layout.packed_file(self._table, self._bucket, sha256)
        self.files.append({
            "file": key, "table": self._table, "video_id": "", "batch": "", "rows": self._num_rows,
            "num_bytes": self._path.stat().st_size, "sha256": sha256,
        })
        self._objects.put_file(key, self._path)

    def _write_group(self) -> None:
        assert self._writer is not None
        if self._waiting:
            rows = pa.concat_tables(self._waiting).combine_chunks()
            self._writer.write_table(rows, row_group_size=max(1, len(rows)))
        self._waiting = []
