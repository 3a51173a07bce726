"""COCO of pictures and of videos, and YouTube-VIS: boxes, polygons, run lengths, identities; what is wrong is named."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco

from labeling import rle
from labeling.errors import BadInput
from labeling.imports.coco import read_coco, read_youtube_vis

SIZE_HW = (40, 60)
MASK = np.zeros(SIZE_HW, bool)
MASK[10:20, 5:30] = True
PACKED = coco.encode(np.asfortranarray(MASK.astype(np.uint8)))
TEXT = {"size": list(SIZE_HW), "counts": PACKED["counts"].decode()}
SQUARE = [5.0, 10.0, 30.0, 10.0, 30.0, 20.0, 5.0, 20.0]
FILES = ["cars/a/00000.jpg", "cars/a/00005.jpg"]


def written(path: Path, document: Any) -> Path:
    path.write_text(json.dumps(document))
    return path


def pictures(*annotations: dict[str, Any]) -> dict[str, Any]:
    sides = {"height": 40, "width": 60}
    return {
        "categories": [{"id": 7, "name": "car"}],
        "images": [{"id": 1, "file_name": FILES[0], **sides}, {"id": 2, "file_name": FILES[1], **sides}],
        "annotations": [{"id": n, "category_id": 7, **a} for n, a in enumerate(annotations, start=1)],
    }


def test_boxes_polygons_and_run_lengths_of_pictures_in_folders(tmp_path: Path) -> None:
    runs = {"size": list(SIZE_HW), "counts": rle.runs_of(rle.encode(MASK)).tolist()}
    document = pictures(
        {"image_id": 1, "bbox": [5, 10, 25, 10], "score": 0.8}, {"image_id": 2, "bbox": [0, 0, 1, 1], "segmentation": [SQUARE]},
        {"image_id": 2, "segmentation": TEXT, "track_id": 4}, {"image_id": 2, "segmentation": runs, "keypoints": [1, 2, 2]},
        {"image_id": 2, "segmentation": runs, "iscrowd": 1},
    )
    read = read_coco(written(tmp_path / "x.json", document))
    box, polygon, text, listed = read.labels
    assert (box.video, box.frame_idx, box.category, box.score, box.box_xyxy) == ("cars/a", 0, "car", 0.8, (5, 10, 30, 20))
    assert (text.frame_idx, text.track, box.track) == (5, "4", None)
    assert text.mask == listed.mask == rle.encode(MASK)
    assert polygon.mask is not None
    assert rle.iou(polygon.mask, rle.encode(MASK)) > 0.95
    assert {what: n for what, n in read.lost.items() if n} == {"crowd regions": 1, "keypoints": 1}


def test_frames_of_videos_and_objects_of_our_own_tracks(tmp_path: Path) -> None:
    document = pictures({"image_id": 1, "segmentation": TEXT, "track_id": 12})
    document["videos"] = [{"id": 3, "name": "a", "file_name": "cars/a.mp4"}]
    document["images"][0] |= {"video_id": 3, "frame_id": 17}
    document["tracks"] = [{"id": 12, "object_id": 2}]
    (label,) = read_coco(written(tmp_path / "x.json", document)).labels
    assert (label.video, label.frame_idx, label.track) == ("cars/a.mp4", 17, "2")


def youtube(**changed: Any) -> dict[str, Any]:
    annotation = {"id": 9, "video_id": 1, "category_id": 7, "segmentations": [None, TEXT], "bboxes": [None, [5, 10, 25, 10]]}
    return {
        "categories": [{"id": 7, "name": "car"}],
        "videos": [{"id": 1, "file_names": FILES, "height": 40, "width": 60, "length": 2}],
        "annotations": [annotation | changed],
    }


def test_tracks_of_youtube_vis_stand_on_the_frames_that_their_files_name(tmp_path: Path) -> None:
    (label,) = read_youtube_vis(written(tmp_path / "x.json", youtube())).labels
    assert (label.video, label.frame_idx, label.track, label.category) == ("cars/a", 5, "9", "car")
    assert label.mask == rle.encode(MASK)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (pictures({"image_id": 5, "bbox": [0, 0, 1, 1]}), "annotation 1: image_id is 5; expected the id of an image"),
        (pictures({"image_id": 1, "bbox": [0, 0, -1, 1]}), "annotation 1: bbox is .* above 0"),
        (pictures({"image_id": 1, "bbox": [0, 0, float("nan"), 1]}), "annotation 1: bbox is nan; expected a number"),
        (pictures({"image_id": 1, "segmentation": [[1, 2, 3, 4]]}), "annotation 1: polygon is"),
        (pictures({"image_id": 1, "segmentation": {**TEXT, "size": [9, 9]}}), "annotation 1: the mask's size is"),
        (pictures({"image_id": 1, "segmentation": {**TEXT, "counts": "zz"}}), "annotation 1: "),
        (pictures({"image_id": 1, "segmentation": {"size": [1 << 20, 1 << 20], "counts": "0"}}), "annotation 1: height, width"),
        ({"images": [], "annotations": 3}, "annotations is 3"),
        ([], "the file is .*; expected a JSON object"),
    ],
)
def test_what_is_wrong_is_named_with_its_annotation(tmp_path: Path, document: Any, message: str) -> None:
    with pytest.raises(BadInput, match=f"x.json.*{message}"):
        read_coco(written(tmp_path / "x.json", document))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"segmentations": [None]}, "annotation 9: segmentations is 1; expected one for each of 2"),
        ({"video_id": 8}, "annotation 9: video_id is 8"),
    ],
)
def test_so_is_a_track_of_youtube_vis(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read_youtube_vis(written(tmp_path / "x.json", youtube(**changed)))
