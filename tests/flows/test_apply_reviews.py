"""Corrections become new versions: of the corrected objects alone, once, and however often the call was killed."""

import hashlib

import pytest

from flows import label_dataset as labelling
from flows.apply_reviews import Applied, apply_reviews
from flows.cli.review_apply import config_for, figures_of, print_applied
from flows.label_dataset import label_dataset
from flows.run.review_queue import open_queue
from labeling import rle
from labeling.objects import open_objects
from labeling.review.queue import ReviewQueue
from labeling.store.dead_letters import read_dead_letters
from labeling.store.reader import read_masklets
from labeling.types import MaskSource, Prompt, PromptSource
from tests.flows.conftest import Dataset

pytestmark = [
    pytest.mark.usefixtures("prefect_server", "ray_here"),
    # Ray and Prefect leave sockets and loops to the collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

# No clip has so many visible frames: every masklet goes to review.
DOUBT_ALL = "qc.rules=[{signal: visible_frames, reason: too_small, bound: at_least, review: 1000}]"
DRAWN = rle.from_runs([64 * 10, 20 * 48, 64 * 48 - 64 * 10 - 20 * 48], (48, 64))


def masks_files(dataset: Dataset) -> dict[str, str]:
    """Digest of every file of masks."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in (dataset.root / "masks").rglob("*.parquet")}


def versions(dataset: Dataset) -> dict[tuple[str, str], int]:
    return {(m.video.ref.key, m.track_id): m.masklet.label_version for m in read_masklets(str(dataset.root))}


def correct(dataset: Dataset, video: str, track_id: str, prompt: Prompt, seconds: float) -> None:
    with open_queue(dataset.config()) as queue:
        (item,) = (i for i in queue.list() if (i.video_key, i.key.track_id) == (video, track_id))
        queue.decide(item.item_id, "correct", prompts=[prompt], reviewer="ann", seconds=seconds)


def waiting(dataset: Dataset) -> set[tuple[str, str, int]]:
    with open_queue(dataset.config()) as queue:
        return {(i.video_key, i.key.track_id, i.key.label_version) for i in queue.list()}


def apply_with_stored_settings(dataset: Dataset) -> Applied:
    return apply_reviews(config_for([f"store.root={dataset.root}"]))


def test_only_corrected_objects_get_a_version_that_waits_again(dataset: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    dataset.add("a.mp4", 1, 2)
    dataset.add("b.mp4", 1)
    label_dataset(dataset.config(DOUBT_ALL))
    files = masks_files(dataset)
    # Due for `labeling run`, and none of apply's business.
    dataset.add("new.mp4", 1)
    dataset.rows[1]["box_xyxy"] = [8.0, 8.0, 44.0, 40.0]
    dataset.overrides()
    seen = Prompt(1, 3, points_xy=((20, 20), (1, 1)), labels=(1, 0), mask=DRAWN, source=PromptSource.CORRECTION)
    correct(dataset, "a.mp4", "1", seen, 4.0)

    applied = apply_with_stored_settings(dataset)
    assert versions(dataset) == {("a.mp4", "1"): 2, ("a.mp4", "2"): 1, ("b.mp4", "1"): 1}
    assert files.items() < masks_files(dataset).items()
    assert len(masks_files(dataset)) == len(files) + 1
    tracked = next(m for m in read_masklets(str(dataset.root), video="a.mp4", track=1))
    assert [f.frame_idx for f in tracked.frames if f.source is MaskSource.HUMAN] == [3]
    assert tracked.frames[3].rle == DRAWN
    assert [p.source for p in tracked.masklet.prompts] == [PromptSource.SEED, PromptSource.CORRECTION]
    assert waiting(dataset) == {("a.mp4", "1", 2), ("a.mp4", "2", 1), ("b.mp4", "1", 1)}

    (item,) = applied.items
    assert (item.tracked, item.num_seeds, item.corrected_frames, item.clicks, item.masks) == (True, 1, (3,), 2, 1)
    assert (item.review_seconds, item.num_frames, item.verdict) == (4.0, 8, "review")
    assert figures_of(applied.items) == (
        "1 of 1 corrected objects tracked again: 4.0 s and 2.0 clicks each; 12.5% of frames corrected, "
        "4.0 s and 2.00 clicks for each"
    )
    print_applied(applied)
    assert "1 -> 2" in capsys.readouterr().out

    after, runs = masks_files(dataset), len(list((dataset.root / "runs").iterdir()))
    again = apply_with_stored_settings(dataset)
    assert (again.items, again.outcome) == ((), None)
    assert masks_files(dataset) == after
    assert len(list((dataset.root / "runs").iterdir())) == runs
    print_applied(again)
    assert "nothing to do" in capsys.readouterr().out


def test_a_killed_call_is_finished_by_the_next(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset.add("a.mp4", 1)
    label_dataset(dataset.config(DOUBT_ALL))
    correct(dataset, "a.mp4", "1", Prompt(1, 3, points_xy=((20, 20),), labels=(1,)), 1.0)

    def killed(*_: object, **__: object) -> None:
        raise RuntimeError("killed")

    # Tracked and not published; then published and not in the queue.
    for where, name in ((labelling, "publish_accepting"), (ReviewQueue, "open_from_snapshot")):
        with monkeypatch.context() as patch:
            patch.setattr(where, name, killed)
            with pytest.raises(RuntimeError, match="killed"):
                apply_with_stored_settings(dataset)
        files = masks_files(dataset)
        assert len(files) == 2
    applied = apply_with_stored_settings(dataset)
    assert applied.outcome is not None
    assert (applied.outcome.summary.num_jobs, applied.items[0].label_version) == (0, 2)
    assert masks_files(dataset) == files
    assert waiting(dataset) == {("a.mp4", "1", 2)}
    assert apply_with_stored_settings(dataset).outcome is None


def test_what_cannot_be_tracked_says_so_and_what_was_said_before_is_not_tracked_again(dataset: Dataset) -> None:
    for name in ("a.mp4", "gone.mp4"):
        dataset.add(name, 1)
    label_dataset(dataset.config(DOUBT_ALL))
    click = Prompt(1, 3, points_xy=((20, 20),), labels=(1,))
    correct(dataset, "gone.mp4", "1", click, 1.0)
    (dataset.clips / "gone.mp4").unlink()
    applied = apply_with_stored_settings(dataset)
    assert applied.outcome is not None
    assert applied.outcome.dead_letters == {"unknown_video": 1}
    assert [(i.video_key, i.tracked) for i in applied.items] == [("gone.mp4", False)]
    assert [letter.video for letter in read_dead_letters(open_objects(str(dataset.root)))] == ["gone.mp4"]

    correct(dataset, "a.mp4", "1", click, 1.0)
    apply_with_stored_settings(dataset)
    correct(dataset, "a.mp4", "1", click, 1.0)
    files = masks_files(dataset)
    same = apply_with_stored_settings(dataset)
    assert masks_files(dataset) == files
    assert {(i.video_key, i.tracked) for i in same.items} == {("a.mp4", False), ("gone.mp4", False)}
    with open_queue(dataset.config()) as queue:
        assert [c.video_key for c in queue.corrections()] == ["gone.mp4"], "only what was not tracked waits"
