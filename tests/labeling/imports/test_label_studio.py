"""Label Studio's boxes on videos lie on a line between key frames; boxes, polygons and brushes on pictures."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labeling import rle
from labeling.errors import BadInput
from labeling.imports.label_studio import read_label_studio_labels
from labeling.imports.labels import LabelFile
from labeling.review.label_studio import encode_brush


def read(path: Path, data: Any, *regions: Any, **task: Any) -> LabelFile:
    path.write_text(json.dumps([{"id": 5, "data": data, "annotations": [{"result": list(regions)}], **task}]))
    return read_label_studio_labels(path, lambda video: (50, 200))


def key(frame: int, x: float, **changed: Any) -> dict[str, Any]:
    return {"frame": frame, "enabled": True, "x": x, "y": 10, "width": 10, "height": 20, "rotation": 0} | changed


def test_between_two_key_frames_a_box_lies_on_a_line(tmp_path: Path) -> None:
    sequence = [key(1, 0.0), key(3, 20.0, enabled=False), key(10, 50.0)]
    region = {"id": "r1", "type": "videorectangle", "value": {"sequence": sequence, "labels": ["car"]}}
    labels = read(tmp_path / "x.json", {"video": "/data/local-files/?d=clips/a.mp4"}, region).labels
    assert [(label.frame_idx, label.box_xyxy) for label in labels] == [
        (0, (0, 5, 20, 15)), (1, (20, 5, 40, 15)), (2, (40, 5, 60, 15)), (9, (100, 5, 120, 15)),
    ]
    assert {(label.video, label.track, label.category) for label in labels} == {("clips/a.mp4", "r1", "car")}


def test_boxes_polygons_and_brushes_on_pictures(tmp_path: Path) -> None:
    mask = np.zeros((50, 200), bool)
    mask[5:15, 20:60] = True
    common = {"original_width": 200, "original_height": 50}
    corners = [[10, 10], [30, 10], [30, 30], [10, 30]]
    read_back = read(
        tmp_path / "x.json", {"image": "http://host/clip/00012.jpg"},
        {"id": "b", "type": "rectanglelabels", **common, "value": {**key(0, 10.0), "rectanglelabels": ["car"]}},
        {"id": "p", "type": "polygonlabels", **common, "value": {"points": corners, "polygonlabels": ["car"]}},
        {"id": "m", "type": "brushlabels", **common,
         "value": {"format": "rle", "rle": encode_brush(rle.encode(mask)), "brushlabels": ["car"]}},
        {"id": "c", "type": "choices", "value": {}},
    )
    box, polygon, brush = read_back.labels
    assert (box.video, box.frame_idx, box.track, box.category, box.box_xyxy) == ("clip", 12, None, "car", (20, 5, 40, 15))
    assert brush.mask == rle.encode(mask)
    assert polygon.mask is not None
    assert rle.iou(polygon.mask, rle.encode(mask)) > 0.95
    assert read_back.lost["regions of type choices"] == 1


@pytest.mark.parametrize(
    ("region", "message"),
    [
        ({"id": "r", "type": "videorectangle", "value": {"sequence": [key(0, 1.0)]}}, "task 5: frame is 0"),
        ({"id": "r", "type": "videorectangle", "value": {"sequence": [key(1, 1.0, width=0)]}}, "task 5: width, height"),
        ({"id": "r", "type": "videorectangle", "value": {}}, "task 5: 'sequence' is missing"),
        (3, "task 5: "),
    ],
)
def test_what_is_wrong_is_named_with_its_task(tmp_path: Path, region: Any, message: str) -> None:
    with pytest.raises(BadInput, match=f"x.json, {message}"):
        read(tmp_path / "x.json", {"video": "a.mp4"}, region)
    (tmp_path / "x.json").write_text("[{")
    with pytest.raises(BadInput, match="x.json: task 1"):
        read_label_studio_labels(tmp_path / "x.json", lambda video: None)
