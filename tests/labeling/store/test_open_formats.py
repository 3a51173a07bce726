"""What reads Parquet reads the store: DuckDB, Polars, pandas, `datasets` and pyarrow see the same rows with no code of ours."""

from pathlib import Path

import pytest

from labeling import rle
from labeling.config import QCConfig
from labeling.objects import FolderObjects
from labeling.store import schemas
from labeling.store.ledger import read_ledger
from labeling.store.plan import make_plan
from labeling.store.publish import publish
from labeling.types import RLE
from tests.labeling.store.made_store import RECIPE, Table, box_prompt, ref_of, write_job

NUM_ROWS = 2 * 6 + 6 + 4  # two objects, one object, and one of them again


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("formats")
    objects = FolderObjects(folder / "store")
    for x0, num_frames in ((2.0, 6), (9.0, 4)):
        table = Table({"a.mp4": (box_prompt(1, x0), box_prompt(2)), "b.mp4": (box_prompt(1),)})
        refs = [ref_of(key) for key in table.by_video]
        for job in make_plan(refs, table, read_ledger(objects), RECIPE, "run").jobs:
            write_job(objects, job, folder / "scratch", num_frames=num_frames, lost_after=3)
    publish(objects, QCConfig(), run_id="run")
    return folder / "store"


def test_duckdb(root: Path) -> None:
    import duckdb

    masks = f"read_parquet('{root}/masks/*/*.parquet')"
    rows = duckdb.sql(f"SELECT count(*), sum(visible::int), count(box_xywh), max(box_xywh[3]) FROM {masks}").fetchall()
    assert rows == [(NUM_ROWS, 12, 12, 8.0)]
    variable, query = schemas.__doc__[schemas.__doc__.index("SET") :].replace("ROOT", str(root)).split(";")
    duckdb.sql(variable)
    current = duckdb.sql(f"SELECT video_id, track_id, label_version, count(*) FROM ({query}) GROUP BY ALL").fetchall()
    a, b = ref_of("a.mp4").video_id, ref_of("b.mp4").video_id
    assert sorted(current) == sorted([(a, "1", 2, 4), (a, "2", 1, 6), (b, "1", 1, 6)])
    verdicts = f"read_parquet('{root}/snapshots/v000001/verdicts/*.parquet')"
    flags = duckdb.sql(f"SELECT verdict, len(flags) FROM {verdicts}").fetchall()
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
