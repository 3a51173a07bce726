"""`labeling plan --prompts`: real clips, the real network, and a sheet of first masks."""

import json
from pathlib import Path

import pytest

from labeling.errors import BadConfiguration
from tests.fixtures_clips import write_clip
from tests.flows.command_line import typed


@pytest.fixture
def overrides(tmp_path: Path) -> list[str]:
    (tmp_path / "clips").mkdir()
    for name in ("a.mp4", "b.mp4"):
        write_clip(tmp_path / "clips" / name, num_frames=3)
    (tmp_path / "clips" / "broken.mp4").write_bytes(b"no video")
    box = {"frame_idx": 0, "box_xyxy": [0, 18, 9, 29]}
    rows = [
        {"video": "a.mp4", "object_id": 1, **box}, {"video": "a.mp4", "object_id": 2, **box},
        {"video": "b.mp4", "object_id": 1, "frame_idx": 1, "box_xyxy": [20, 4, 60, 14]},
        {"video": "b.mp4", "object_id": 2, "frame_idx": 99, "box_xyxy": [1, 1, 9, 9]},
        {"video": "broken.mp4", "object_id": 1, **box},
    ]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [
        f"source.uri={tmp_path}/clips", f"prompts.uri={tmp_path}/p.jsonl", f"store.root={tmp_path}/store", "model=nano",
        "model.image_size=128", f"run.scratch={tmp_path}/scratch",
    ]


def test_doubted_prompts_are_named_and_shown(overrides: list[str], tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.html"
    told = typed("plan", *overrides, "--prompts", "--sheet", sheet)
    assert "of 5 prompts are doubted" in told
    page = sheet.read_text()
    assert page.count("<figure") == 5
    # Of the two on one object each names the other; what cannot be opened, or has no such frame, is named too.
    assert page.count("data:image/jpeg") == 3
    assert "Object 2 has this mask, too" in page
    assert "Object 1 has this mask, too" in page
    assert "broken.mp4, object 1" in page
    assert "frame 99" in page
    assert page.index('class="doubted"') < page.rindex("<figure")
    assert not (tmp_path / "store").exists()
    assert not list((tmp_path / "scratch").iterdir())


def test_programs_get_a_line_for_each_prompt(overrides: list[str]) -> None:
    told = typed("plan", *overrides, "--prompts", "--json")
    lines = [json.loads(line) for line in told.splitlines() if line.startswith('{"video"')]
    assert len(lines) == 5
    twin = next(line for line in lines if (line["video"], line["object_id"]) == ("a.mp4", 1))
    assert (twin["twin_of"], twin["twin"]) == (2, 1.0)
    assert "twin" in twin["doubts"].lower()


def test_a_plan_alone_opens_nothing(overrides: list[str], tmp_path: Path) -> None:
    assert "doubted" not in typed("plan", *overrides)
    assert not (tmp_path / "scratch").exists()
    with pytest.raises(BadConfiguration, match="--sheet is given without --prompts"):
        typed("plan", *overrides, "--sheet", tmp_path / "x.html")
