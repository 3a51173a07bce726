"""Every row is checked where it is read; a bad one is a record, and never stops the rest."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labeling import rle
from labeling.errors import BadConfiguration
from labeling.ingest.prompt_rows import COLUMNS
from labeling.ingest.prompts import PromptTable, read_prompts, write_prompts
from labeling.types import Prompt, PromptSource, VideoRef

MASK = rle.encode(np.eye(4, 6, dtype=bool))
PROMPTS = [
    ("a.mp4", Prompt(1, 0, points_xy=((1.5, 2.0), (3.0, 4.0)), labels=(1, 0), category="car")),
    ("a.mp4", Prompt(1, 7, box_xyxy=(0.0, 1.0, 10.5, 20.0))),
    ("a.mp4", Prompt(2, 0, points_xy=((1.0, 1.0),), labels=(1,), box_xyxy=(0.0, 0.0, 5.0, 5.0))),
    ("s3://bucket/b +%.mp4", Prompt(-(2**62), 3, mask=MASK)),
    ("s3://bucket/b +%.mp4", Prompt(5, 3, points_xy=((1.0, 1.0),), labels=(0,), mask=MASK, source=PromptSource.CORRECTION)),
    ("s3://bucket/b +%.mp4", Prompt(5, 8, mask=rle.empty((4, 6)), source=PromptSource.CORRECTION, span=(7, 2**31))),
]


def table_of(tmp_path: Path, *rows: dict[str, Any]) -> PromptTable:
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_prompts(str(path))


def row(**values: Any) -> dict[str, Any]:
    return {"video": "a.mp4", "object_id": 1, "frame_idx": 0, "box_xyxy": [0, 0, 5, 5], **values}


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_what_is_written_is_read_back(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"prompts.{suffix}"
    write_prompts(path, PROMPTS)
    table = read_prompts(str(path))
    assert table.bad_rows == ()
    assert {video: set(prompts) for video, prompts in table.by_video.items()} == {
        video: {p for v, p in PROMPTS if v == video} for video, _ in PROMPTS
    }


def test_a_table_in_s3(s3: str) -> None:
    write_prompts(f"{s3}/seeds/prompts.jsonl", PROMPTS)
    assert len(read_prompts(f"{s3}/seeds/prompts.jsonl").by_video) == 2


def test_a_table_that_pandas_wrote(tmp_path: Path) -> None:
    frame = pd.DataFrame({
        "video": ["a.mp4", "b.mp4"], "object_id": [1.0, 2.0], "frame_idx": [0, 3],
        "box_xyxy": [[0, 0, 4, 4], None], "points_xy": [None, [[1, 2]]], "labels": [None, [1]], "category": [np.nan, "dog"],
    })
    frame.to_parquet(tmp_path / "p.parquet")
    frame.assign(points_xy=[None, "[[1, 2]]"], labels=[None, "[1]"]).to_csv(tmp_path / "p.csv", index=False)
    expected = {
        "a.mp4": (Prompt(1, 0, box_xyxy=(0.0, 0.0, 4.0, 4.0)),),
        "b.mp4": (Prompt(2, 3, points_xy=((1.0, 2.0),), labels=(1,), category="dog"),),
    }
    for name in ("p.parquet", "p.csv"):
        table = read_prompts(str(tmp_path / name))
        assert (table.by_video, table.bad_rows) == (expected, ())


def test_masks_may_be_run_lengths_or_text(tmp_path: Path) -> None:
    lengths = [int(n) for n in rle.runs_of(MASK)]
    table = table_of(
        tmp_path,
        row(box_xyxy=None, mask={"size": [4, 6], "counts": MASK.counts}),
        row(box_xyxy=None, object_id=2, mask=json.dumps({"size": [4, 6], "counts": lengths})),
    )
    assert [p.mask for p in table.by_video["a.mp4"]] == [MASK, MASK]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"video": None}, "video is None; expected a key or uri"),
        ({"video": ""}, "video is ''"),
        ({"object_id": "car-1"}, "object_id is 'car-1'; expected a whole number"),
        ({"object_id": 2**63}, "an int64"),
        ({"object_id": True}, "object_id is True"),
        ({"frame_idx": -1}, "frame_idx is -1; expected a 0-based frame index"),
        ({"frame_idx": 1.5}, "frame_idx is 1.5"),
        ({"frame_idx": None}, "frame_idx is None"),
        ({"box_xyxy": None}, "expected points_xy with labels, box_xyxy or mask"),
        ({"box_xyxy": [0, 0, 5]}, r"box_xyxy is \[0, 0, 5\]; expected \[x0, y0, x1, y1\]"),
        ({"box_xyxy": [5, 0, 0, 5]}, "x0 < x1"),
        ({"box_xyxy": "[0, 0,"}, "box_xyxy is '\\[0, 0,'; expected JSON"),
        ({"box_xyxy": [0, 0, float("inf"), 5]}, "finite"),
        ({"points_xy": [[1, 2]]}, "one label for each of 1 points"),
        ({"points_xy": [1, 2], "labels": [1]}, r"points_xy is 1; expected a list of \[x, y\] pairs"),
        ({"points_xy": [[1, "2"]], "labels": [1]}, "points_xy"),
        ({"points_xy": [[1, 2]], "labels": [2]}, r"labels is \[2\]"),
        ({"points_xy": [[1, 2]], "labels": [True]}, r"labels is \[True\]"),
        ({"points_xy": [[1, 2]], "labels": [False]}, r"labels is \[False\]"),
        ({"box_xyxy": None, "mask": "x"}, "mask is 'x'; expected JSON"),
        ({"box_xyxy": None, "mask": {"counts": "0"}}, "mask is .*expected COCO RLE"),
        ({"box_xyxy": None, "mask": {"size": [4, 6], "counts": MASK.counts[:-1]}}, "add up"),
        ({"box_xyxy": None, "mask": {"size": [4, 6], "counts": [24]}}, "mask is 'empty'; expected at least one pixel"),
        ({"box_xyxy": None, "mask": {"size": [4, 6], "counts": [20]}}, "add up to 20"),
        ({"mask": {"size": [4, 6], "counts": MASK.counts}}, "a seed's mask to stand alone"),
        ({"source": 0}, "source is 0; expected seed or correction"),
        ({"source": False}, "source is False"),
        ({"source": "guess"}, "source is 'guess'; expected seed or correction"),
        ({"category": ["car"]}, "category is"),
        ({"span": [0, 2]}, "only a correction is limited to frames"),
        ({"span": [0, 2, 4], "source": "correction"}, "span is .*expected .first frame, the frame after the last"),
        ({"span": [0, 1.5], "source": "correction"}, "whole frame numbers"),
        ({"source": ["seed"]}, r"source is \['seed'\]"),
        ({"frame_idx": 10**23}, "below 2\\*\\*31"),
        ({"object_id": 1e18}, "a float this large is not exact"),
        ({"video": "caf\udce9.mp4"}, "lone surrogates"),
        ({"category": "a\0"}, "text without NUL"),
        ({"category": "x" * 5000}, "at most 4096 letters"),
        ({"box_xyxy": [1, 1, 5, 10**400]}, "expected .x0, y0, x1, y1., finite"),
        ({"box_xyxy": [0, 0, 5, 1e30]}, "in pixels"),
        ({"box_xyxy": None, "bbox": [0, 0, 5, 5]}, "was box_xyxy meant"),
        ({"points_xy": [[1, 1]] * 10_000, "labels": [1] * 10_000}, "10000 points.*at most 1000"),
        ({"points_xy": [[1, 1]], "labels": [[]]}, r"labels is \[\[\]\]"),
        ({"points_xy": [[1, 1], [2, 2]], "labels": [2, 3]}, "corners of a box go to box_xyxy"),
        *(({"box_xyxy": None, "mask": {"size": size, "counts": counts}}, message) for size, counts, message in (
            ([4, 6], [10**19], "a run of 0 to"), ([4, 6], [None], "a whole number of pixels"), ([4, 6], [{}, 2], "mask counts"),
            ([4, 6], [True, 23], "mask counts is True"), ([4, 6], [-4, 28], "mask counts is -4"),
            ([float("inf"), 1], "0", "mask size is .inf"), ([2.9, 2], [4], "whole numbers above 0"), ([0, 6], [0], "above 0"),
            ([10**6, 10**6], [10**12], "at most 67108864 pixels"), ([4, 6], "\u20ac", "mask counts is"),
            ([2, 2], [1] * 6, "6 runs"), ([4, 6], {}, "a list of run lengths"), ([4, 6], "P" * 7 + "0", "over 7 groups"),
        )),
        ({"span": [1, 4], "source": "correction"}, "a half-open span of frames that holds frame 0"),
    ],
)
def test_a_bad_row_is_a_record_with_its_line(values: dict[str, Any], message: str, tmp_path: Path) -> None:
    table = table_of(tmp_path, row(object_id=8), row(**values), row(object_id=9))
    assert [p.object_id for p in table.by_video["a.mp4"]] == [8, 9]
    (bad,) = table.bad_rows
    assert bad.line == 2
    assert bad.video == (values.get("video", "a.mp4") or "").encode("utf-8", "backslashreplace").decode()
    assert len(bad.message) < 600
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(bad.message)


def test_a_line_that_is_no_json_is_a_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps(row()) + "\n{oops\n" + "[" * 100_000 + "\n")
    table = read_prompts(str(path))
    assert len(table.by_video["a.mp4"]) == 1
    assert [(bad.line, bad.video) for bad in table.bad_rows] == [(2, ""), (3, "")]


def test_saying_a_thing_twice_is_a_bad_row(tmp_path: Path) -> None:
    table = table_of(
        tmp_path,
        row(),
        row(box_xyxy=None, points_xy=[[1, 1]], labels=[1]),  # another kind on the same frame
        row(frame_idx=1),
        row(video="b.mp4"),
        row(box_xyxy=[1, 1, 2, 2]),
        row(points_xy=[[2, 2]], labels=[1], frame_idx=1),
    )
    assert [(bad.line, bad.video) for bad in table.bad_rows] == [(5, "a.mp4"), (6, "a.mp4")]
    assert "object 1 has a box prompt on frame 0 in line 1 already" in table.bad_rows[0].message
    assert len(table.by_video["a.mp4"]) == 3


def test_an_object_has_one_category(tmp_path: Path) -> None:
    table = table_of(
        tmp_path, row(category="car"), row(frame_idx=1), row(frame_idx=2, category="bus"), row(video="b.mp4", category="bus")
    )
    assert [(bad.line, bad.message) for bad in table.bad_rows] == [
        (3, "category is 'bus'; expected 'car', as line 1 says of object 1")
    ]


def test_the_order_of_rows_does_not_show(tmp_path: Path) -> None:
    rows = [row(object_id=n, frame_idx=f) for n in (3, 1, 2) for f in (5, 0)]
    there, back = table_of(tmp_path, *rows), table_of(tmp_path, *rows[::-1])
    assert there.by_video == back.by_video
    assert [(p.object_id, p.frame_idx) for p in there.by_video["a.mp4"]] == [(1, 0), (1, 5), (2, 0), (2, 5), (3, 0), (3, 5)]


def test_a_video_is_found_by_key_and_by_uri(tmp_path: Path) -> None:
    ref = VideoRef("0" * 16, "x/a b.mp4", "/data/x/a b.mp4", "c", 1)
    for spelled in ("x/a b.mp4", "./x/a b.mp4", "/data/x/a b.mp4", "file:///data/x/a%20b.mp4"):
        table = table_of(tmp_path, row(video=spelled))
        assert len(table.for_video(ref)) == 1
    assert table_of(tmp_path, row(video="a b.mp4")).for_video(ref) == ()
    both = table_of(tmp_path, row(video="x/a b.mp4"), row(video="/data/x/a b.mp4", object_id=2))
    assert [p.object_id for p in both.for_video(ref)] == [1, 2]
    other = table_of(tmp_path, row(video="x/a b.mp4"), row(video="/data/x/a b.mp4", box_xyxy=[1, 1, 9, 9]))
    assert other.for_video(ref) == other.by_video["x/a b.mp4"], "one box for an object on a frame"


def test_a_csv_without_its_columns_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("video,frame\na.mp4,0\n")
    with pytest.raises(BadConfiguration, match=r"expected \['object_id', 'frame_idx'\]"):
        read_prompts(str(tmp_path / "p.csv"))


def test_a_missing_table_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="prompt table .* does not exist"):
        read_prompts(str(tmp_path / "none.jsonl"))


def test_a_name_that_stands_twice_in_a_row_is_a_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps(row()) + '\n{"video": "a.mp4", "video": "b.mp4", "object_id": 2, "frame_idx": 0}\n')
    (bad,) = read_prompts(str(path)).bad_rows
    assert "'video' stands twice" in bad.message


def test_a_column_that_is_not_read_and_is_like_one_that_is_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table_of(tmp_path, row(catgory="car", note="x"), row(object_id=2, catgory="car"))
    assert [record.getMessage().partition("line")[2] for record in caplog.records] == [
        " 1: the column 'catgory' is not read; was category meant?"
    ]


def test_accents_may_be_spelled_in_one_character_or_two(tmp_path: Path) -> None:
    composed, decomposed = "caf\u00e9.mp4", "cafe\u0301.mp4"
    table = table_of(tmp_path, row(video=composed), row(video=composed, object_id=2, frame_idx=-1))
    spelled = table.spelled_as([decomposed, "a.mp4"])
    assert (list(spelled.by_video), spelled.bad_rows[0].video) == ([decomposed], decomposed)
    assert list(table.spelled_as([decomposed, composed]).by_video) == [composed]
    assert table.spelled_as(["a.mp4"]) is table


def test_a_struct_of_nulls_is_no_mask(tmp_path: Path) -> None:
    columns = {"video": ["a.mp4"], "object_id": [1], "frame_idx": [0], "box_xyxy": [[1.0, 1, 9, 9]]}
    mask = pa.array([{"size": None, "counts": None}], COLUMNS["mask"])
    pq.write_table(pa.table({**columns, "mask": mask}), tmp_path / "p.parquet")
    table = read_prompts(str(tmp_path / "p.parquet"))
    assert not table.bad_rows
    assert table.by_video["a.mp4"][0].mask is None


def test_a_file_uri_of_another_machine_costs_its_row_alone(tmp_path: Path) -> None:
    table = table_of(tmp_path, *(row(video=f"file://{place}/a%231.mp4") for place in ("nas", "")))
    assert list(table.by_video) == ["/a#1.mp4", "file://nas/a%231.mp4"]
