"""Real clips from a bucket, a checkpoint in the released format, SAMURAI, three objects; a quarter of a second of each clip."""

import json
from pathlib import Path

import pytest
import torch

from flows.configure import load_config
from flows.label_dataset import label_dataset
from labeling.objects import open_objects
from labeling.store.reader import read_masklets
from sam2.build_sam import build_sam2

SHARED = Path(__file__).resolve().parents[3] / "shared" / "videos"

pytestmark = [
    pytest.mark.skipif(not SHARED.is_dir(), reason=f"needs the real clips in {SHARED}"),
    pytest.mark.usefixtures("prefect_server", "ray_here"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

BOXES = ([100, 100, 400, 400], [300, 150, 600, 500], [20, 20, 200, 200])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny network's weights, untrained, in a file as released."""
    path = tmp_path_factory.mktemp("weights") / "sam2.1_hiera_tiny.pt"
    torch.manual_seed(0)
    torch.save({"model": build_sam2("sam2.1_hiera_t", device="cpu").state_dict()}, path)
    return path


def test_real_clips_from_a_bucket(s3: str, checkpoint: Path, tmp_path: Path) -> None:
    bucket = open_objects(s3)
    names = [path.name for path in sorted(SHARED.glob("*.mp4"))]
    for name in names:
        bucket.put_file(f"raw/{name}", SHARED / name)
    rows = [
        {"video": name, "object_id": number, "frame_idx": 0, "box_xyxy": box}
        for name in names
        for number, box in enumerate(BOXES, start=1)
    ]
    bucket.put("prompts.jsonl", "\n".join(map(json.dumps, rows)).encode())
    config = load_config([
        f"source.uri={s3}/raw", f"prompts.uri={s3}/prompts.jsonl", f"store.root={s3}/labels", "source.time_range=[0,0.25]",
        f"run.scratch={tmp_path / 'scratch'}", f"run.review_url={tmp_path / 'queue.sqlite'}", "run.previews=1",
        "run.progress=false", "model=tiny", f"model.checkpoint={checkpoint}", "model.image_size=256", "tracker=samurai",
    ])
    outcome = label_dataset(config)
    assert outcome.dead_letters == {}
    masklets = list(read_masklets(f"{s3}/labels"))
    assert len(masklets) == len(names) * len(BOXES)
    assert all(m.frames[-1].frame_idx == len(m.frames) - 1 for m in masklets)
    assert outcome.summary.num_masks == sum(len(m.frames) for m in masklets) == outcome.summary.num_frames * len(BOXES)
    assert bucket.get(f"labels/runs/{outcome.run_id}/report.html").startswith(b"<!DOCTYPE html>")
    assert label_dataset(config).summary.num_jobs == 0

    rows[0]["box_xyxy"] = [110, 110, 390, 390]
    bucket.put("prompts.jsonl", "\n".join(map(json.dumps, rows)).encode())
    changed = label_dataset(config)
    assert (changed.summary.num_jobs, changed.summary.num_objects) == (1, 1)
