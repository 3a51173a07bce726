"""The demo's clips are what the demo's numbers rest on: files that decode, and true masks that fit them."""

import json
from pathlib import Path

import av
import numpy as np
import pytest

from flows.demo.clips import DemoTruth, clip_names, read_demo, render_demo
from labeling import rle
from labeling.types import Prompt


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoTruth:
    return render_demo(tmp_path_factory.mktemp("demo"))


def frames_of(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def areas(demo: DemoTruth, video: str, object_id: int) -> list[int]:
    return [rle.area(mask) for mask in demo.masks[video][object_id]]


def test_each_clip_decodes_to_as_many_frames_as_it_has_true_masks(demo: DemoTruth) -> None:
    assert demo.videos == clip_names()
    for video in demo.videos:
        frames = frames_of(demo.folder / video)
        for masks in demo.masks[video].values():
            assert len(masks) == len(frames)
            assert {mask.size_hw for mask in masks} == {frames[0].shape[:2]}


def test_the_decoded_picture_changes_at_the_true_outline(demo: DemoTruth) -> None:
    for video in demo.videos:
        frame = frames_of(demo.folder / video)[0].astype(np.float64)
        for object_id, first in demo.first_frame[video].items():
            if first:
                continue
            inside = rle.decode(demo.masks[video][object_id][0])
            ring = np.zeros_like(inside)
            for shift in ((6, 0), (-6, 0), (0, 6), (0, -6)):
                ring |= np.roll(inside, shift, (0, 1))
            step = np.abs(frame[inside].mean(axis=0) - frame[ring & ~inside].mean(axis=0)).sum()
            assert step > 40, (video, object_id, step)


def test_clips_hold_an_occlusion_a_return_and_a_late_start(demo: DemoTruth) -> None:
    for video in ("behind_bar.mp4", "out_and_back.mp4"):
        seen = [area > 0 for area in areas(demo, video, 1)]
        hidden = [i for i, visible in enumerate(seen) if not visible]
        assert seen[0]
        assert seen[-1]
        assert len(hidden) >= 2
        assert hidden == list(range(hidden[0], hidden[-1] + 1))
    late = areas(demo, "late_start.mp4", 2)
    assert demo.first_frame["late_start.mp4"][2] == 12
    assert sum(late[:12]) == 0
    assert min(late[12:]) > 0


def test_crossing_objects_never_share_a_pixel_and_one_is_covered(demo: DemoTruth) -> None:
    below, above = demo.masks["crossing.mp4"][1], demo.masks["crossing.mp4"][2]
    assert all(rle.iou(a, b) == 0 for a, b in zip(below, above, strict=True))
    shown = [rle.area(mask) for mask in below]
    assert min(shown) < 0.8 * shown[0]


def test_twins_have_one_look_and_one_hides_the_other(demo: DemoTruth) -> None:
    frame = frames_of(demo.folder / "twins.mp4")[0]
    first, second = demo.masks["twins.mp4"][1], demo.masks["twins.mp4"][2]
    looks = [frame[rle.decode(masks[0])].astype(np.float64) for masks in (first, second)]
    assert np.abs(looks[0].mean(axis=0) - looks[1].mean(axis=0)).max() < 3
    assert min(rle.area(mask) for mask in first) < 0.2 * rle.area(first[0])
    assert rle.area(first[-1]) > 0.9 * rle.area(first[0])


def test_prompts_are_boxes_round_the_true_masks_and_one_row_is_for_the_broken_file(demo: DemoTruth) -> None:
    rows = [json.loads(line) for line in demo.prompts.read_text().splitlines()]
    assert sum(row["video"] == demo.broken for row in rows) == 1
    assert {row["video"] for row in rows} == set(demo.files) == {path.name for path in demo.folder.glob("*.mp4")}
    for row in rows:
        prompt = Prompt(row["object_id"], row["frame_idx"], box_xyxy=tuple(row["box_xyxy"]), category=row["category"])
        if row["video"] == demo.broken:
            continue
        x, y, width, height = rle.box_xywh(demo.masks[row["video"]][prompt.object_id][prompt.frame_idx])
        assert prompt.box_xyxy == (x, y, x + width, y + height)


def test_the_broken_file_stops_before_its_end(demo: DemoTruth) -> None:
    whole = len(frames_of(demo.folder / "out_and_back.mp4"))
    try:
        broken = len(frames_of(demo.folder / demo.broken))
    except av.FFmpegError:
        return
    assert broken < whole


def test_drawing_again_gives_the_same_prompts_truth_and_pictures(demo: DemoTruth, tmp_path: Path) -> None:
    again = render_demo(tmp_path)
    for name in ("prompts.jsonl", "truth.json"):
        assert (tmp_path / name).read_bytes() == (demo.folder / name).read_bytes()
    for video in demo.videos:
        # not the files' bytes: now and then x264 chooses otherwise, for the same pictures
        pairs = zip(frames_of(demo.folder / video), frames_of(tmp_path / video), strict=True)
        assert max(np.abs(left.astype(int) - right).mean() for left, right in pairs) < 2, video
    assert read_demo(tmp_path).masks == again.masks == demo.masks
