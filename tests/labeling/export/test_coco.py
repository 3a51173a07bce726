"""COCO export, read back by pycocotools, down to the pixel."""

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO

from labeling.export.coco import CocoSummary, export_coco
from labeling.objects import open_objects


@pytest.fixture(scope="module")
def written(labelled: Any, tmp_path_factory: pytest.TempPathFactory) -> CocoSummary:
    return export_coco(labelled.root, tmp_path_factory.mktemp("coco") / "labels.json")


@pytest.fixture(scope="module")
def coco(written: CocoSummary) -> COCO:
    with redirect_stdout(io.StringIO()):
        return COCO(str(written.path))


# pycocotools' own arrays do not know NumPy 2's copy argument.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_pycocotools_reads_every_mask_back_as_it_was(labelled: Any, coco: COCO) -> None:
    videos = {video["id"]: video for video in coco.dataset["videos"]}
    tracks = {track["id"]: track for track in coco.dataset["tracks"]}
    seen = set()
    for mark in coco.anns.values():
        image, track = coco.imgs[mark["image_id"]], tracks[mark["track_id"]]
        assert image["video_id"] == mark["video_id"] == track["video_id"]
        key = videos[image["video_id"]]["file_name"]
        true = labelled.masks[key][track["object_id"]][image["frame_id"]]
        np.testing.assert_array_equal(coco.annToMask(mark), true)
        rows, columns = np.nonzero(true)
        assert mark["area"] == true.sum()
        assert mark["bbox"] == [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
        assert mark["iscrowd"] == 0
        assert mark["score"] == 0.75
        seen.add((key, track["object_id"], image["frame_id"]))
    visible = {
        (key, object_id, frame_idx)
        for key, objects in labelled.masks.items() for object_id, frames in objects.items()
        for frame_idx, mask in frames.items() if mask.any() and (key, object_id) != ("night/b.mp4", 1)
    }
    assert seen == visible


def test_images_are_the_tracked_frames_and_numbers_never_meet(coco: COCO, written: CocoSummary) -> None:
    by_video: dict[str, list[int]] = {}
    names = {video["id"]: video["file_name"] for video in coco.dataset["videos"]}
    for image in coco.dataset["images"]:
        by_video.setdefault(names[image["video_id"]], []).append(image["frame_id"])
        assert (image["height"], image["width"]) == (40, 64)
        assert image["seconds"] == pytest.approx(image["frame_id"] / 12, abs=1e-6)
    # Frame 4 of a.mp4 has object 3; the stride of a.mov stays visible.
    assert by_video == {"clips/a.mp4": [0, 1, 2, 3, 4, 5], "clips/a.mov": [0, 2, 4, 6, 8], "night/b.mp4": [0]}
    assert len(coco.imgs) == len(coco.dataset["images"]) == written.num_images == 12
    assert len(coco.anns) == len(coco.dataset["annotations"]) == written.num_annotations
    assert {image["file_name"].split("/")[1] for image in coco.dataset["images"]} >= {"00000.jpg", "00008.jpg"}
    folders = {image["file_name"].split("/")[0] for image in coco.dataset["images"]}
    assert len(folders) == 3


def test_verdicts_choose_and_categories_are_numbered_by_name(labelled: Any, coco: COCO, tmp_path: Path) -> None:
    assert {c["name"]: c["id"] for c in coco.dataset["categories"]} == {"car": 1, "object": 2}
    rejected = export_coco(labelled.root, tmp_path / "r.json", verdicts={"reject"})
    assert (rejected.num_videos, rejected.num_tracks, rejected.num_annotations) == (1, 1, 3)
    both = export_coco(labelled.root, tmp_path / "b.json", verdicts=["reject", "accept"])
    assert both.num_tracks == 5
    none = export_coco(labelled.root, tmp_path / "n.json", verdicts={"review"})
    assert json.loads(none.path.read_text())["annotations"] == []


def test_the_same_snapshot_gives_the_same_bytes_and_takes_the_file_s_place(labelled: Any, written: CocoSummary) -> None:
    before = written.path.read_bytes()
    written.path.write_bytes(before[:100])
    export_coco(labelled.root, written.path, snapshot="v000001")
    assert written.path.read_bytes() == before
    assert [path.name for path in written.path.parent.iterdir()] == ["labels.json"]


def test_mistakes_are_named_and_leave_the_old_file(labelled: Any, tmp_path: Path) -> None:
    out = tmp_path / "labels.json"
    out.write_text("old")
    with pytest.raises(ValueError, match="verdict is 'good'; expected accept, review or reject"):
        export_coco(labelled.root, out, verdicts={"good"})
    with pytest.raises(ValueError, match="verdicts is empty"):
        export_coco(labelled.root, out, verdicts=())
    with pytest.raises(ValueError, match="snapshot is 'v000009'"):
        export_coco(labelled.root, out, snapshot="v000009")
    with pytest.raises(ValueError, match="a folder; expected the path of a file"):
        export_coco(labelled.root, tmp_path)
    assert out.read_text() == "old"


def test_a_dataset_in_s3_gives_the_same_bytes_as_one_in_a_folder(
    labelled: Any, written: CocoSummary, s3: str, tmp_path: Path
) -> None:
    here, there = open_objects(labelled.root), open_objects(f"{s3}/labels/cars")
    for stat in here.list():
        there.put(stat.key, here.get(stat.key))
    summary = export_coco(f"{s3}/labels/cars", tmp_path / "labels.json")
    assert summary.path.read_bytes() == written.path.read_bytes()
