"""What reads Parquet reads the store: DuckDB, Polars, pandas, `datasets` and pyarrow see the same rows with no code of ours."""

import re
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from labeling import rle
from labeling.config import QCConfig
from labeling.ingest.listing import video_id_of
from labeling.ingest.prompts import PromptTable
from labeling.objects import FolderObjects
from labeling.store import commit, schemas
from labeling.store.ledger import read_ledger
from labeling.store.parquet import open_bytes, open_file
from labeling.store.plan import make_plan
from labeling.store.publish import publish
from labeling.store.reader import read_masklets
from labeling.store.records import prompts_from_json
from labeling.store.snapshots import read_snapshot, read_tracks, read_videos
from labeling.types import RLE, Prompt, VideoRef
from tests.labeling.store.made_store import RECIPE, box_prompt, label, query_of, ref_of, rows_by_duckdb, told, write_job

TOP = Path(__file__).resolve().parents[3]
RELEASE_BEFORE = TOP / "tests/reference/store_0_1_0"  # three objects of six frames, nothing to be seen on the last three

NUM_ROWS = 2 * 6 + 6 + 4  # two objects, one object, and one of them again


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("formats")
    objects = FolderObjects(folder / "store")
    for x0, num_frames in ((2.0, 6), (9.0, 4)):
        table = PromptTable({"a.mp4": (box_prompt(1, x0), box_prompt(2)), "b.mp4": (box_prompt(1),)})
        refs = [ref_of(key) for key in table.by_video]
        for job in make_plan(refs, table, read_ledger(objects), RECIPE, "run").jobs:
            write_job(objects, job, folder / "scratch", num_frames=num_frames, lost_after=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commit, "NEW_STORES", 3)
        publish(objects, QCConfig(), run_id="run")
    return folder / "store"


def test_duckdb(root: Path) -> None:
    import duckdb

    masks = f"read_parquet('{root}/masks/*/*.parquet')"
    rows = duckdb.sql(f"SELECT count(*), sum(visible::int), count(box_xywh), max(box_xywh[3]) FROM {masks}").fetchall()
    assert rows == [(NUM_ROWS, 12, 12, 8.0)]
    *before, query = query_of(str(root), "v000001")
    for statement in before:
        duckdb.sql(statement)
    current = duckdb.sql(f"SELECT video_id, track_id, label_version, count(*) FROM ({query}) GROUP BY ALL").fetchall()
    a, b = ref_of("a.mp4").video_id, ref_of("b.mp4").video_id
    assert sorted(current) == sorted([(a, "1", 2, 4), (a, "2", 1, 6), (b, "1", 1, 6)])
    flags = duckdb.sql("SELECT verdict, len(flags) FROM objects").fetchall()
    assert flags == [("accept", 0)] * 3


def test_polars(root: Path) -> None:
    import polars

    masks = polars.read_parquet(f"{root}/masks/**/*.parquet")
    assert (masks.height, masks["visible"].sum()) == (NUM_ROWS, 12)
    assert masks["box_xywh"].null_count() == NUM_ROWS - 12


def test_pandas(root: Path) -> None:
    import pandas

    masks = pandas.read_parquet(root / "masks")
    assert (len(masks), int(masks.visible.sum()), int(masks.box_xywh.isna().sum())) == (NUM_ROWS, 12, NUM_ROWS - 12)
    tracks = pandas.read_parquet(root / "tracks")
    assert (len(tracks), set(tracks.track_id)) == (4, {"1", "2"})


def test_hugging_face_datasets(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    files = [str(path) for path in sorted(root.glob("masks/*/*.parquet"))]
    masks = datasets.Dataset.from_parquet(files, cache_dir=str(tmp_path))
    assert (len(masks), sum(masks["visible"])) == (NUM_ROWS, 12)
    assert "video_id" in masks.column_names


def test_pyarrow_and_the_masks_themselves(root: Path) -> None:
    import pyarrow.dataset as ds

    masks = ds.dataset(root / "masks", format="parquet", partitioning="hive").to_table()
    assert len(masks) == NUM_ROWS
    for row in masks.to_pylist():
        mask_HW = rle.decode(RLE((row["height"], row["width"]), row["rle"]))
        assert int(mask_HW.sum()) == row["area"]
        assert row["bucket"] == row["video_id"][:2]
        assert (row["box_xywh"] is None) == (row["area"] == 0)


@pytest.fixture(params=["old files first", "new files first"])
def mixed(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store that holds files of the release before and of today, in the current folder under the README's name."""
    root, new_first = tmp_path / "labels", request.param == "new files first"
    shutil.copytree(RELEASE_BEFORE, root)
    keys = (f"{i}.mp4" for i in range(1000))
    key = next(key for key in keys if (video_id_of(key) < "b" if new_first else video_id_of(key) > "f"))
    objects = FolderObjects(root)
    label(objects, tmp_path / "scratch", {key: (box_prompt(1), box_prompt(2))}, "today", lost_after=3)
    publish(objects, QCConfig(), run_id="today")
    kinds = [pq.read_schema(path).field("box_xywh").type for path in sorted(root.glob("masks/*/*.parquet"))]
    assert [pa.types.is_fixed_size_list(kind) for kind in kinds] == ([False, True, True] if new_first else [True, True, False])
    monkeypatch.chdir(tmp_path)
    return root


def test_files_of_two_releases_are_read_together_as_the_readme_says(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(mixed.parent / "cache"))
    (block,) = re.findall(r"```python\n(from glob.*?)```", (TOP / "README.md").read_text(), re.DOTALL)
    block = block.replace("from_parquet(files,", f"from_parquet(files, cache_dir={str(mixed.parent / 'cache')!r},")
    for order in ("files", "files[::-1]"):
        read: dict[str, Any] = {}
        exec(block.replace("(files", f"({order}").replace("in files", f"in {order}"), read)
        assert (len(read["table"]), read["table"]["box_xywh"].null_count) == (30, 15)
        assert (read["frame"].height, read["frame"]["box_xywh"].null_count()) == (30, 15)
        boxes = list(read["rows"]["box_xywh"])
        assert (len(boxes), boxes.count(None)) == (30, 15)
        assert read["table"]["box_xywh"].to_pylist() == read["frame"]["box_xywh"].to_list() == boxes


def test_files_of_two_releases_in_duckdb_and_in_the_reader(mixed: Path) -> None:
    import duckdb

    query, _ = re.findall(r"```sql\n(.*?)```", (TOP / "README.md").read_text(), re.DOTALL)
    variable, select = query.replace("v000001", "v000002").split(";")
    with duckdb.connect() as connection:
        connection.sql(variable)
        assert connection.sql(f"SELECT count(*), count(box_xywh) FROM ({select})").fetchall() == [(30, 15)]
    frames = [frame for masklet, *_ in told(FolderObjects(mixed)) for frame in masklet.frames]
    assert (len(frames), sum(frame.box_xywh is None for frame in frames)) == (30, 15)
    assert len(rows_by_duckdb(mixed, "v000002")) == 30


def test_the_readme_shows_the_rows_of_a_version_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import duckdb

    objects = FolderObjects(tmp_path / "labels")
    for run, x0 in (("one", 2.0), ("two", 9.0)):  # new parts lie over those of the first version
        label(objects, tmp_path / "s", {"a.mp4": (box_prompt(1, x0), box_prompt(2)), "b.mp4": (box_prompt(1),)}, run)
        publish(objects, QCConfig(), run_id=run)
    monkeypatch.chdir(tmp_path)
    _, query = re.findall(r"```sql\n(.*?)```", (TOP / "README.md").read_text(), re.DOTALL)
    *before, select = query.replace("v000001", "v000002").split(";")
    with duckdb.connect() as connection:
        for statement in before:
            connection.sql(statement)
        rows = connection.sql(f"SELECT video_id, track_id, label_version, count(*) FROM ({select}) GROUP BY ALL").fetchall()
    expected = [(m.masklet.video_id, m.track_id, m.masklet.label_version, len(m.frames)) for m in read_masklets(objects)]
    assert sorted(rows) == sorted(expected)
    assert sorted(version for _, _, version, _ in rows) == [1, 1, 2]


def test_boxes_of_the_release_before_are_read_as_parquet_has_them() -> None:
    objects = FolderObjects(RELEASE_BEFORE)
    for stat in objects.list("masks/"):
        with open_file(objects, stat.key) as mapped, open_file(objects, stat.key, ranged=True) as ranged:
            for opened in (mapped, ranged, open_bytes(objects.get(stat.key), stat.key)):
                assert pa.types.is_list(opened.schema_arrow.field("box_xywh").type)
                assert opened.read(["box_xywh"])["box_xywh"].null_count == len(opened.read()) / 2


def test_a_store_of_the_release_before_has_nothing_due(tmp_path: Path) -> None:
    shutil.copytree(RELEASE_BEFORE, tmp_path / "labels")
    objects = FolderObjects(tmp_path / "labels")
    same = {"a.mp4": (box_prompt(1), box_prompt(2)), "b.mp4": (box_prompt(1),)}
    assert not label(objects, tmp_path / "scratch", same, "again")


def test_a_column_of_a_later_release_is_null_in_older_files(root: Path, tmp_path: Path) -> None:
    import duckdb

    old, new = (tmp_path / name for name in ("old.parquet", "new.parquet"))
    shutil.copy(next(root.glob("masks/*/*.parquet")), old)
    table = pq.read_table(old)
    later = schemas.MASKS.append(pa.field("later", pa.int64()))
    pq.write_table(table.append_column("later", pa.array([7] * len(table), pa.int64())).cast(later), new)
    expected = [(len(table), 0), (len(table), len(table))]
    for files in ([str(old), str(new)], [str(new), str(old)]):
        rows = f"read_parquet({files}, union_by_name=true, filename=true)"
        counted = duckdb.sql(f"SELECT count(*), count(later) FROM {rows} GROUP BY filename").fetchall()
        assert sorted(counted) == expected
        assert pa.dataset.dataset(files, schema=later).to_table()["later"].null_count == len(table)


@pytest.mark.parametrize("table", ["masks", "tracks"])
def test_later_columns_are_nullable_and_appended(table: str) -> None:
    before = pq.read_schema(next((RELEASE_BEFORE / table).glob("*/*.parquet")))
    now = {"masks": schemas.MASKS, "tracks": schemas.TRACKS}[table]
    assert now.names[: len(before.names)] == before.names, "a column went, or moved; append what is new"
    for was, field in zip(before, now, strict=False):
        assert (was.nullable, field.name) == (field.nullable, was.name)
        assert was.type == field.type or was.name == "box_xywh"
    assert all(field.nullable for field in list(now)[len(before.names) :]), "a later column is null in older files"
    assert int(before.metadata[schemas.VERSION_KEY]) == schemas.FILES_VERSION, "added columns do not raise it"
    assert not any(pa.types.is_fixed_size_list(field.type) for field in now), "pyarrow below 26 reads none with nulls"


def test_nothing_is_due_of_what_the_release_before_made() -> None:
    objects = FolderObjects(RELEASE_BEFORE)
    snapshot = read_snapshot(objects)
    videos = {row["video_id"]: row for row in read_videos(objects, snapshot).to_pylist()}
    prompts: dict[str, list[Prompt]] = {}
    for row in read_tracks(objects, snapshot).to_pylist():
        video = videos[row["video_id"]]
        prompts.setdefault(video["video_key"], []).extend(prompts_from_json(row["prompts"]))
    of_ref = ("video_id", "video_key", "uri", "content_id", "num_bytes")
    refs = [VideoRef(*(video[name] for name in of_ref)) for video in videos.values()]
    ledger = read_ledger(objects)
    table = PromptTable({video: tuple(of_video) for video, of_video in prompts.items()})
    plan = make_plan(refs, table, ledger, RECIPE, "run")
    assert (plan.jobs, {entry.why for entry in plan.entries}) == ((), {"done"})
