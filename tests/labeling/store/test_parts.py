"""Tables in parts: what counts of rows that lie over each other, what is read for a video, and what a merge leaves."""

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from labeling.errors import DamagedStore
from labeling.objects import FolderObjects
from labeling.store import parts, schemas
from labeling.store.parts import (
    Part,
    PartTable,
    changed_rows,
    leaf_cuts,
    leaf_ranges,
    merged,
    part_from_json,
    put_part,
    removed_rows,
    rows_between,
    rows_of,
    worth_merging,
)

FILES = PartTable("files", schemas.FILE_PARTS, ("video_id", "file"))


def rows(*cells: tuple[str, str, int, int]) -> pa.Table:
    """Rows of `files`: video, file, number of rows, and the version they changed in."""
    shared = {"table": "masks", "batch": "b", "num_bytes": 1, "sha256": "", "removed": False}
    made = [{**shared, "video_id": v, "file": f, "rows": n, "changed_in": c} for v, f, n, c in sorted(cells)]
    return pa.Table.from_pylist(made, schema=schemas.FILE_PARTS)


def cells(table: pa.Table) -> list[tuple[str, str, int, int]]:
    return [(r["video_id"], r["file"], r["rows"], r["changed_in"]) for r in table.to_pylist()]


@pytest.fixture
def store(tmp_path: Path) -> FolderObjects:
    return FolderObjects(tmp_path / "store")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves, row groups and merges of a few rows."""
    for name, value in {"LEAF_ROWS": 20, "GROUP_ROWS": 5, "MERGE_ROWS": 30, "MERGE_PARTS": 3}.items():
        monkeypatch.setattr(parts, name, value)


def made(store: FolderObjects, few: None) -> tuple[list[Part], dict[tuple[str, str], tuple[int, int]]]:
    """Parts of several versions over each other, merged when they should be, and what a dictionary says of the same rows."""
    chance, table, expected = random.Random(7), list[Part](), dict[tuple[str, str], tuple[int, int]]()
    for version in range(1, 30):
        new = {(f"{chance.randrange(16**3):03x}".ljust(16, "0"), f"f{chance.randrange(2)}"): version for _ in range(9)}
        expected |= {key: (value, version) for key, value in new.items()}
        table.append(put_part(store, FILES, rows(*((*key, value, version) for key, value in new.items()))))
        if worth_merging(table):
            table = merged(store, FILES, table)
    return table, expected


def test_the_latest_row_of_a_key_counts_whatever_was_merged(store: FolderObjects, few: None) -> None:
    table, expected = made(store, few)
    want = sorted((*key, *value) for key, value in expected.items())
    assert sum(part.leaf for part in table) > 3
    assert cells(rows_between(store, FILES, table)) == want
    some = sorted({key[0] for key in expected})[::5]
    assert cells(rows_of(store, FILES, table, some)) == [row for row in want if row[0] in some]
    whole = merged(store, FILES, table, into_leaves=True)
    assert all(part.leaf for part in whole)
    assert sorted(cells(pa.concat_tables(rows_between(store, FILES, [part]) for part in whole))) == want
    ranges = leaf_ranges(whole)
    assert len(ranges) == len(whole)
    assert [row for first, stop in ranges for row in cells(rows_between(store, FILES, whole, first, stop))] == want


def test_a_look_at_one_video_opens_the_parts_that_may_hold_it(
    store: FolderObjects, few: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = merged(store, FILES, made(store, few)[0], into_leaves=True)
    opened: list[str] = []
    real = parts.open_file
    monkeypatch.setattr(parts, "open_file", lambda objects, key, **how: opened.append(key) or real(objects, key, **how))
    assert len(rows_of(store, FILES, table, [table[2].first]))
    assert opened == [table[2].file]


def test_a_merge_leaves_what_nothing_new_lies_over(store: FolderObjects, few: None) -> None:
    table = merged(store, FILES, made(store, few)[0], into_leaves=True)
    new = put_part(store, FILES, rows((table[1].first, "late", 1, 99)))
    after = merged(store, FILES, [*table, new], into_leaves=True)
    assert [part for part in after if part in table] == [table[0], *table[2:]]
    assert merged(store, FILES, [*table, new]) == [*table, new]
    gone = merged(store, FILES, [*table, new], lambda rows: rows.filter(pc.less(rows["changed_in"], 99)), into_leaves=True)
    assert sum(part.rows for part in gone) == sum(part.rows for part in table)


def test_a_video_is_never_cut(few: None) -> None:
    table = rows(*((f"{video:016x}", f"{file:02}", 1, 1) for video in range(4) for file in range(17)))
    cuts = list(leaf_cuts(table))
    assert (len(cuts), sum(map(len, cuts))) == (3, 68)
    ids = [set(cut["video_id"].to_pylist()) for cut in cuts]
    assert all(a.isdisjoint(b) for n, a in enumerate(ids) for b in ids[n + 1 :])


def test_changed_and_removed_rows() -> None:
    key, cut = FILES.key, len(schemas.FILE_PARTS) - 1
    before = rows(("a", "x", 1, 0), ("b", "x", 1, 0)).remove_column(cut)
    after = rows(("b", "x", 2, 0), ("c", "x", 1, 0)).remove_column(cut)
    assert [row["video_id"] for row in changed_rows(before, after, key).to_pylist()] == ["b", "c"]
    assert [row["video_id"] for row in removed_rows(before, after, key).to_pylist()] == ["a"]
    assert (len(changed_rows(before, before, key)), len(changed_rows(before.slice(0, 0), after, key))) == (0, 2)


def test_a_nested_or_null_cell_that_differs_is_a_change() -> None:
    schema = pa.schema([("video_id", pa.string()), ("flags", pa.list_(pa.string())), ("risk", pa.float64())])
    of = lambda *made: pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in made], schema)  # noqa: E731
    before = of(("a", ["x"], 0.5), ("b", [], None), ("c", None, 1.0), ("d", [], None))
    after = of(("a", ["y"], 0.5), ("b", [], None), ("c", None, None), ("d", [], 0.1))
    assert changed_rows(before, after, ["video_id"])["video_id"].to_pylist() == ["a", "c", "d"]


def test_a_part_that_is_not_as_it_was_written_is_named(store: FolderObjects) -> None:
    part = put_part(store, FILES, rows(("a", "x", 1, 1), ("b", "x", 1, 1)))
    assert part_from_json({n: getattr(part, n) for n in Part.__slots__}) == part
    store.put(part.file, store.get(part.file)[:-7])
    with pytest.raises(DamagedStore, match=part.file):
        rows_between(store, FILES, [part])
    store.delete(part.file)
    with pytest.raises(DamagedStore, match="is gone"):
        rows_of(store, FILES, [part], ["a"])
    harms = ({"file": "parts/files/x.parquet"}, "key of a part"), ({"rows": 0}, "counts above 0"), ({"first": "c"}, "range")
    for wrong, said in harms:
        with pytest.raises(ValueError, match=said):
            part_from_json({n: getattr(part, n) for n in Part.__slots__} | wrong)
