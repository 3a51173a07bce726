"""`labeling seed grid` on drawn clips with the small network that is shipped: objects without prompts, read by `run`."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.cli.app import run_command
from flows.demo.clips import DemoTruth, render_demo
from labeling import rle
from labeling.ingest.prompts import read_prompts

WORDS = ["seed", "grid", "model=nano", "--points", "10"]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoTruth:
    return render_demo(tmp_path_factory.mktemp("demo"))


@pytest.fixture
def clips(demo: DemoTruth, tmp_path: Path) -> Path:
    """Two of the clips, and one that breaks off."""
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in ("crossing.mp4", "late_start.mp4", demo.broken):
        shutil.copy(demo.folder / name, folder / name)
    return folder


def test_objects_of_the_first_frame_become_prompts(
    clips: Path, demo: DemoTruth, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "seeds"
    assert run_command([*WORDS, f"source.uri={clips}", "-o", str(out)]) == 1, "a broken clip costs itself"
    printed = capsys.readouterr().out.replace("\n", "")
    assert "crossing.mp4: 2 objects" in printed
    assert f"{demo.broken}: " in printed
    table = read_prompts(str(out / "prompts.jsonl"))
    assert not table.bad_rows
    assert not caplog.records, "more columns are no slips"
    assert {video: len(prompts) for video, prompts in table.by_video.items()} == {"crossing.mp4": 2, "late_start.mp4": 1}
    truth = [masks[0] for masks in demo.masks["crossing.mp4"].values()]
    for prompt in table.by_video["crossing.mp4"]:
        assert prompt.mask is not None
        assert max(rle.iou(prompt.mask, mask) for mask in truth) > 0.9
    rows = [json.loads(line) for line in (out / "prompts.jsonl").read_text().splitlines()]
    assert all(0.8 < row["score"] <= 1 and (row["source"], row["found_by"]) == ("seed", "grid") for row in rows)
    sheet = np.asarray(Image.open(out / "sheet.jpg"))
    assert sheet.shape[1] == 1280
    assert run_command([*WORDS, f"source.uri={clips}", "source.glob=late*", "-o", str(clips)]) == 2, "others' files stay"


def test_what_comes_later_is_found_there_and_boxes_on_request(clips: Path, demo: DemoTruth, tmp_path: Path) -> None:
    out, (first, second) = tmp_path / "seeds", sorted(demo.first_frame["late_start.mp4"].values())
    words = [f"source.uri={clips}", "source.glob=late*", "source.frame_stride=8", "--every", "0.6", "--boxes"]
    assert run_command([*WORDS, *words, "-o", str(out)]) == 0
    prompts = read_prompts(str(out / "prompts.jsonl")).by_video["late_start.mp4"]
    assert len(prompts) == 2
    assert prompts[0].frame_idx == first == 0
    assert prompts[1].frame_idx >= second
    assert all(prompt.mask is None and prompt.box_xyxy for prompt in prompts)


def test_what_cannot_be_meant_is_refused(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in [(["--points", "0"], "points_per_side"), (["--every", "-1"], "every"), (["--score", "2"], "min_iou")]:
        assert run_command([*WORDS[:3], *words, f"source.uri={clips}", "-o", str(tmp_path / "no")]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "no").exists()
