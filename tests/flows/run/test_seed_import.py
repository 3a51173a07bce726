"""`labeling seed import`: labels of another tool become a table that `labeling run` reads."""

import json
import shutil
from pathlib import Path

import pytest

from flows.cli.app import run_command
from flows.demo.clips import render_demo
from labeling.ingest.prompts import read_prompts


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    demo = render_demo(tmp_path_factory.mktemp("demo"))
    shutil.copy(demo.folder / "glide.mp4", folder / "glide.mp4")
    return folder


def test_shares_of_yolo_take_the_size_of_the_source_s_video(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "labels").mkdir()
    for frame in range(1, 6):
        (tmp_path / "labels" / f"glide_{frame}.txt").write_text("2 0.1875 0.333333 0.15 0.28 0.9 3\n")
    out = tmp_path / "prompts.jsonl"
    words = ["seed", "import", "yolo", str(tmp_path / "labels"), "-o", str(out)]
    assert run_command([*words, f"source.uri={clips}"]) == 0
    assert "1 objects of 1 videos" in capsys.readouterr().out
    table = read_prompts(str(out))
    (prompt,) = table.by_video["glide.mp4"]
    assert not table.bad_rows
    assert (prompt.object_id, prompt.frame_idx, prompt.category) == (3, 0, "2")
    assert prompt.box_xyxy == pytest.approx((54, 52.2, 126, 127.8), abs=0.01)
    (row,) = map(json.loads, out.read_text().splitlines())
    assert (row["score"], row["found_by"]) == (0.9, "yolo")
    assert run_command([*words, "--size", "480x270"]) == 0
    assert list(read_prompts(str(out)).by_video) == ["glide"]


def test_a_bad_file_writes_nothing_and_what_is_lost_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "gt.txt", tmp_path / "prompts.csv"
    path.write_text("1,2,11,21,30,40,1,1,0.5\nx\n")
    words = ["seed", "import", "mot", str(path), "-o", str(out)]
    assert run_command(words) == 2
    assert "gt.txt, line 2: the line is 'x'" in capsys.readouterr().err
    assert not out.exists()
    path.write_text("1,2,11,21,30,40,1,1,0.5\n")
    assert run_command(words) == 0
    assert "not kept: 1 visibilities" in capsys.readouterr().out
    assert out.is_file()
    for more, message in [(["--size", "0x1"], "--size is '0x1'"), (["-o", str(path)], "gt.txt")]:
        assert run_command([*words, *more]) == 2
        assert message in capsys.readouterr().err
