"""`labeling demo --seeds`: the shipped detector and tracker find the demo's objects, each once, and nothing else."""

from pathlib import Path

import pytest
from rich.console import Console

from flows.demo.clips import render_demo
from flows.demo.demo import find_seeds
from labeling.ingest.prompts import read_prompts


@pytest.mark.slow
def test_the_demo_s_objects_are_found_without_prompts(tmp_path: Path) -> None:
    truth = render_demo(tmp_path / "clips")
    table = read_prompts(str(find_seeds(tmp_path, Console())))
    assert not table.bad_rows
    objects = {video: len(masks) for video, masks in truth.masks.items()}
    assert {video: len(prompts) for video, prompts in table.by_video.items()} == objects
    late = max(prompt.frame_idx for prompt in table.by_video["late_start.mp4"])
    assert 12 <= late <= 18
    assert (tmp_path / "seeds" / "sheet.jpg").is_file()
