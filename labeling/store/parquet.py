"""Parquet bytes in and out: the store's settings in one place, and the version check that every read goes through."""

import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from labeling.errors import DamagedStore, LabelingError
from labeling.objects import Objects
from labeling.store.documents import problem_of
from labeling.store.schemas import check_storage_version
from labeling.types import TableRow

_CHUNK_BYTES = 1 << 20
_PART_BYTES = 8 << 20  # of an object, held at a time
_ADVICE = "restore it from a copy, go back to a version that is whole (`labeling restore`), or label its videos again"
_BATCH_ROWS = 1024
_MAGIC = b"PAR1"
_FOOTER_END_BYTES = 8  # the footer's length and the magic


def open_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Open a Parquet file to be written row group by row group: zstd, statistics on all that is short."""
    # Run lengths never repeat and their minimum tells nothing, so neither a dictionary nor statistics for them.
    short = [name for name in schema.names if name != "rle" and not pa.types.is_nested(schema.field(name).type)]
    texts = [name for name in short if pa.types.is_string(schema.field(name).type)]
    return pq.ParquetWriter(
        path, schema, compression="zstd", use_dictionary=texts, write_statistics=short, write_page_checksum=True
    )


def to_bytes(table: pa.Table) -> bytes:
    """Return a table as the bytes of a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    body: bytes = sink.getvalue().to_pybytes()
    return body


class RangedReader(io.RawIOBase):
    """A stored object as a file that Arrow reads by ranges; FileNotFoundError where there is none.

    The object must not be written again while it is open.
    """

    def __init__(self, objects: Objects, key: str) -> None:
        stat = objects.stat(key)
        if stat is None:
            raise FileNotFoundError(objects.uri(key))
        self._objects, self._key, self._num_bytes, self._at = objects, key, stat.num_bytes, 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Return where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to `offset` from the start, from here or from the end; returns where that is."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._num_bytes}[whence]
        self._at = base + offset
        return self._at

    def read(self, size: int = -1) -> bytes:
        """Fetch up to `size` bytes from here on, all that are left without one."""
        stop = self._num_bytes if size < 0 else min(self._num_bytes, self._at + size)
        body = self._objects.get_range(self._key, self._at, stop) if stop > self._at else b""
        self._at += len(body)
        return body


Source: TypeAlias = "Path | RangedReader | pa.BufferReader"


def open_file(objects: Objects, key: str, *, ranged: bool = False) -> pq.ParquetFile:
    """Open a stored Parquet file after checking its storage version; a folder's file is mapped, not read.

    From elsewhere it is fetched whole, or with `ranged` by the parts that are asked for, which pays for large ones.

    Raises:
        DamagedStore: the object is gone, is no Parquet file, or not one of this project's; what is read of it goes
            through `sound`.
        NewerStore: a newer version of this project wrote it.
    """
    with sound(objects.uri(key)):
        return _open(objects, key, ranged)


def _open(objects: Objects, key: str, ranged: bool) -> pq.ParquetFile:
    local = Path(objects.uri(key))
    source: Source = local
    if not (local.is_absolute() and local.is_file()):  # what is no file is named by `get`, and a pipe never waited for
        source = RangedReader(objects, key) if ranged else pa.BufferReader(objects.get(key))
    return _opened(source, objects.uri(key), memory_map=isinstance(source, Path), pre_buffer=isinstance(source, RangedReader))


def open_bytes(body: bytes, uri: str) -> pq.ParquetFile:
    """Open the bytes of a stored Parquet file, as `open_file` does."""
    with sound(uri):
        return _opened(pa.BufferReader(body), uri)


@contextmanager
def sound(uri: str) -> Iterator[None]:
    """Name the file in what a read of it says while the block runs: DamagedStore where its bytes are not what they were."""
    try:
        yield
    except (LabelingError, ConnectionError):
        raise
    except FileNotFoundError as error:
        raise DamagedStore(f"{uri} is gone; {_ADVICE}") from error
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
        raise DamagedStore(f"{uri} is damaged ({problem_of(error)}); {_ADVICE}") from error


def _opened(source: Source, uri: str, **how: bool) -> pq.ParquetFile:
    how["page_checksum_verification"] = True
    opened = pq.ParquetFile(source, **how)
    check_storage_version(opened.schema_arrow.metadata, uri)
    if not any(pa.types.is_fixed_size_list(field.type) for field in opened.schema_arrow):
        return opened
    opened.close()
    return pq.ParquetFile(source, metadata=_without_arrow_types(source), **how)


def _without_arrow_types(source: Source) -> pq.FileMetaData:
    """Return a file's metadata without Arrow's own note of the types, so that the columns are read as Parquet has them.

    Release 0.1.0 noted boxes as lists of a fixed size. Parquet knows no such thing, and pyarrow before 26 does not read them
    back where one is null.
    """
    with pa.OSFile(os.fspath(source)) if isinstance(source, Path) else nullcontext(source) as file:
        file.seek(0, os.SEEK_END)
        end = file.tell()
        file.seek(end - _FOOTER_END_BYTES)
        tail = file.read(_FOOTER_END_BYTES)
        length = int.from_bytes(tail[:4], "little")
        file.seek(end - _FOOTER_END_BYTES - length)
        footer = file.read(length)
        file.seek(0)
    # The same length under another name, which no reader looks for.
    return pq.read_metadata(pa.BufferReader(_MAGIC + footer.replace(b"ARROW:schema", b"ARROW:unread") + tail))


def read(objects: Objects, key: str, schema: pa.Schema) -> pa.Table:
    """Read a whole stored table as `schema`; DamagedStore where it is not as it was written."""
    with open_file(objects, key) as opened, sound(objects.uri(key)):
        return sound_table(conform(opened.read(), schema))


def sound_table(table: pa.Table) -> pa.Table:
    """Return a table after looking at every value: a ValueError for text that is none, or a null where none may be."""
    table.validate(full=True)
    for field in table.schema:
        if not field.nullable and table[field.name].null_count:
            raise ValueError(f"{field.name} has {table[field.name].null_count} nulls; expected none")
    return table


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Give a table the columns of `schema`, in order: one that an older version lacked is null, one that went is dropped."""
    arrays = [
        table.column(field.name).cast(field.type) if field.name in table.schema.names else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def concat(tables: Sequence[pa.Table], schema: pa.Schema) -> pa.Table:
    """Join tables of one schema, or none into an empty one, into contiguous columns."""
    return pa.concat_tables([schema.empty_table(), *tables]).combine_chunks()


def iterate_rows(table: pa.Table) -> Iterator[TableRow]:
    """Yield rows as plain values, some at a time in memory."""
    for batch in table.to_batches(max_chunksize=_BATCH_ROWS):
        yield from batch.to_pylist()


def newest(table: pa.Table) -> pa.Table:
    """Keep the highest label_version of each (video_id, object_id), sorted by the two; twins leave the greatest batch."""
    names = ("video_id", "object_id", "label_version", "batch")
    ordered = table.sort_by([(name, "ascending") for name in names]).combine_chunks()
    if len(ordered) < 2:
        return ordered
    video, track = ordered["video_id"], ordered["object_id"]
    differs = pc.or_(
        pc.not_equal(video[1:], video[:-1]), pc.not_equal(track[1:], track[:-1])
    )
    return ordered.filter(pa.chunked_array([*differs.chunks, pa.array([True])]))


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    checksum = hashlib.sha256()
    with open(os.fspath(path), "rb") as reader:
        while chunk := reader.read(_CHUNK_BYTES):
            checksum.update(chunk)
    return checksum.hexdigest()


def sha256_of_object(objects: Objects, key: str) -> str:
    """Return the SHA-256 of an object's bytes, of which a few MiB are held at a time; FileNotFoundError where there is none."""
    checksum, at = hashlib.sha256(), 0
    while part := objects.get_range(key, at, at + _PART_BYTES):
        checksum.update(part)
        at += len(part)
        if len(part) < _PART_BYTES:
            break
    return checksum.hexdigest()
