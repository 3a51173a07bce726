"""Pictures of a report: what cannot be drawn is left out and said, and costs nothing else."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from flows.configure import load_config
from flows.run import report
from labeling import rle
from labeling.export.records import TrackEvidence, TrackReport
from labeling.ingest.listing import ref_of
from labeling.ingest.probe import probe
from labeling.store.reader import StoredMasklet
from labeling.types import Decision, FrameMask, Masklet, Provenance, Signals, Verdict, Video


def masklet_of(video: Video, object_id: int, num_frames: int) -> StoredMasklet:
    height, width = video.size_hw
    mask = rle.encode(np.ones((height, width), bool))
    frames = tuple(
        FrameMask(k, k / 12, mask, height * width, (0.0, 0.0, float(width), float(height)), 0.9, 2.0) for k in range(num_frames)
    )
    provenance = Provenance("nano", "0" * 64, "sam2", "fp32", 384, "cpu", 0.0, "forward", 1, "0", "run", "2026-01-01T00:00:00")
    masklet = Masklet(video.ref.video_id, object_id, "cup", (), frames, 1, f"key-{object_id}", provenance)
    verdict = Verdict(video.ref.video_id, str(object_id), 1, Decision.REVIEW, 0.5)
    return StoredMasklet(masklet, video, Signals({}), verdict, None, None, None, None)


def drawn(path: Path, tmp_path: Path, objects: tuple[int, ...] = (1, 2)) -> list[TrackEvidence]:
    video = probe(ref_of(str(path)), path)
    stored = [masklet_of(video, object_id, video.num_frames) for object_id in objects]
    tracks = {
        str(k): TrackReport(video.ref.video_id, video.ref.key, str(k), 1, "cup", Decision.REVIEW, 0.5) for k in objects
    }
    config = load_config([f"run.scratch={tmp_path / 'scratch'}"])
    found = report._evidence_of_video(config, stored, tracks, tmp_path)
    return [found[tracks[str(k)].name] for k in objects]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("width", [2, 7, 64])
def test_narrow_videos_have_their_pictures(width: int, clip: Callable[..., Path], tmp_path: Path) -> None:
    path = clip("narrow.mkv", num_frames=6, size_hw=(48, width), codec="ffv1", pix_fmt="yuv444p")
    for pictures in drawn(path, tmp_path):
        assert pictures.note == ""
        assert pictures.filmstrip
        assert pictures.filmstrip.stat().st_size > 0
        assert pictures.preview
        assert pictures.preview.stat().st_size > 0


def test_a_picture_that_cannot_be_drawn_costs_itself_alone(
    clip: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    render = report.render_filmstrip

    def fails_once(frames: object, timeline: object, masks: dict, *args: object, **how: object) -> Path:
        if 1 in masks:
            raise ZeroDivisionError("no step")
        return render(frames, timeline, masks, *args, **how)

    monkeypatch.setattr(report, "render_filmstrip", fails_once)
    first, second = drawn(clip(num_frames=6), tmp_path)
    assert (first.filmstrip, first.note) == (None, "No pictures: ZeroDivisionError: no step")
    assert first.preview
    assert (second.note, bool(second.filmstrip), bool(second.preview)) == ("", True, True)
    assert "object 1: its filmstrip: ZeroDivisionError: no step" in caplog.text


def test_a_video_that_went_is_noted(clip: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clip(num_frames=6)
    known = probe(ref_of(str(path)), path)
    path.unlink()
    monkeypatch.setattr("tests.flows.run.test_report.probe", lambda *_: known)
    monkeypatch.setattr("tests.flows.run.test_report.ref_of", lambda _: known.ref)
    for pictures in drawn(path, tmp_path):
        assert pictures.note.startswith(f"No pictures: {path} does not exist")
        assert pictures.frames
