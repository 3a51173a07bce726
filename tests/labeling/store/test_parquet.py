"""An object read by parts is the object."""

import hashlib
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labeling.objects import FolderObjects
from labeling.store import parquet
from labeling.store.parquet import RangedReader, sha256_of_object


class Counting(FolderObjects):
    """A folder that counts the bytes that are asked for."""

    asked = 0

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        body = super().get_range(key, start, stop)
        self.asked += len(body)
        return body


def test_a_file_is_read_where_it_is_asked_for(tmp_path: Path) -> None:
    store = FolderObjects(tmp_path)
    store.put("letters", b"abcdefgh")
    reader = RangedReader(store, "letters")
    assert (reader.read(2), reader.tell(), reader.read(), reader.read(5)) == (b"ab", 2, b"cdefgh", b"")
    assert (reader.seek(-3, io.SEEK_END), reader.read(2), reader.seek(-1, io.SEEK_CUR), reader.read(9)) == (5, b"fg", 6, b"gh")
    with pytest.raises(FileNotFoundError):
        RangedReader(store, "no/such")


def test_arrow_fetches_the_row_group_it_needs(tmp_path: Path) -> None:
    store = Counting(tmp_path)
    table = pa.table({"n": pa.array(range(200_000), pa.int64())})
    pq.write_table(table, tmp_path / "n.parquet", row_group_size=1000, use_dictionary=False, compression="none")
    opened = pq.ParquetFile(RangedReader(store, "n.parquet"), pre_buffer=True)
    assert opened.read_row_group(70)["n"][0].as_py() == 70_000
    assert 8_000 <= store.asked < 200_000


def test_the_sum_of_an_object_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "_PART_BYTES", 4)
    store = FolderObjects(tmp_path)
    for body in (b"", b"abc", b"abcd", b"abcdefghij"):
        store.put("x", body)
        assert sha256_of_object(store, "x") == hashlib.sha256(body).hexdigest()
    with pytest.raises(FileNotFoundError):
        sha256_of_object(store, "y")
