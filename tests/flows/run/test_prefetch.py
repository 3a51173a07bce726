"""The next video is opened in a thread, in time, and nothing of it stays behind."""

import dataclasses
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path

import pytest

from flows.bench.clip import draw_bench_clip
from flows.bench.end_to_end import RUN, _job, _upload
from flows.configure import load_config
from flows.label_video import LabelVideo, Stopwatch
from flows.run.prefetch import NextVideos, Opened
from labeling.errors import BadInput, DeadlineExceeded
from labeling.ingest.fetch import process_folder
from labeling.jobs import Job
from labeling.store.keys import digest
from labeling.track.predictor import recipe_of
from labeling.types import Video, VideoRef

CLIP = draw_bench_clip(1, 2, size_hw=(48, 64))


class Opener:
    """Opens a job's video as an empty file once it may, unless its key is `missing`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.may = folder, threading.Event()

    @contextmanager
    def __call__(self, job: Job) -> Iterator[Opened]:
        assert self.may.wait(60)
        if job.video.key == "missing":
            raise BadInput("it is not there", "missing_video")
        path = self.folder / job.name
        path.touch()
        try:
            yield Opened(path, Video(job.video, (48, 64), Fraction(30), 2, 2 / 30, "h264", 0))
        finally:
            path.unlink()


@pytest.fixture
def opener(tmp_path: Path) -> Opener:
    return Opener(tmp_path)


def job_of(key: str) -> Job:
    return _job(VideoRef(digest(key)[:16], key, f"file:///{key}", "content", 1), CLIP)


def threads_end() -> None:
    for thread in [t for t in threading.enumerate() if t.name == "next video"]:
        thread.join(60)


def take(coming: NextVideos, job: Job, *, deadline: float = math.inf) -> list[bool] | None:
    """Whether a job's video was there while it was held, and afterwards; None where it had not been opened."""
    with ExitStack() as held:
        opened = coming.take(job, held, deadline=deadline)
        if opened is None:
            return None
        there = opened.path.exists()
    return [there, opened.path.exists()]


def test_what_was_begun_is_held_until_its_job_is_over(opener: Opener) -> None:
    coming, jobs = NextVideos(opener), [job_of(key) for key in "abc"]
    opener.may.set()
    coming.begin(jobs[0])
    assert take(coming, job_of("another")) is None
    coming.begin(jobs[1])
    assert take(coming, jobs[0]) == [True, False]
    coming.begin(jobs[2])
    assert take(coming, jobs[2]) == [True, False]       # the one before it never came
    threads_end()
    assert not list(opener.folder.iterdir())


def test_a_failure_is_left_to_the_job_itself(opener: Opener) -> None:
    coming = NextVideos(opener)
    opener.may.set()
    coming.begin(job_of("missing"))
    assert take(coming, job_of("missing")) is None


def test_what_comes_too_late_or_never_is_closed(opener: Opener) -> None:
    coming = NextVideos(opener)
    coming.begin(job_of("late"))
    with pytest.raises(DeadlineExceeded, match="while it was fetched"):
        take(coming, job_of("late"), deadline=0.0)
    coming.begin(job_of("never"))
    coming.close()
    opener.may.set()
    threads_end()
    assert not list(opener.folder.iterdir())


@pytest.fixture
def labeller(s3: str, tmp_path: Path) -> Callable[..., LabelVideo]:
    def make(**run: object) -> LabelVideo:
        said = {"scratch": tmp_path / "scratch", **run}
        config = load_config(["model=nano", "source.uri=/v", "prompts.uri=/p", f"store.root={tmp_path}",
                              *(f"run.{name}={value}" for name, value in said.items())])
        return LabelVideo(config, recipe_of(config.model, config.precision, config.tracker), RUN)

    return make


def copies(work: LabelVideo) -> list[Path]:
    return list(work.scratch.rglob("*.mp4"))


def test_a_video_lies_here_before_its_turn_and_goes_with_it(
    labeller: Callable[..., LabelVideo], s3: str, tmp_path: Path
) -> None:
    work, job = labeller(), _job(_upload(tmp_path / "clip.mp4", CLIP.frames, s3), CLIP)
    work.prepare(job)
    threads_end()
    # A worker that is killed now leaves it where the next one sweeps.
    assert [path.parent for path in copies(work)] == [process_folder(work.scratch, RUN)]
    assert work.coming
    assert take(work.coming, job) == [True, False]
    assert not copies(work)


def test_one_that_is_not_there_is_its_own_jobs_error(labeller: Callable[..., LabelVideo], s3: str) -> None:
    gone = dataclasses.replace(job_of("gone"), video=VideoRef("0" * 16, "gone.mp4", f"{s3}/gone.mp4", "content", 1))
    work = labeller()
    work.prepare(gone)
    with pytest.raises(BadInput, match="does not exist"):
        work(gone, deadline=math.inf)


def test_half_of_scratch_stays_free_for_videos_at_work(labeller: Callable[..., LabelVideo], s3: str, tmp_path: Path) -> None:
    ref = _upload(tmp_path / "clip.mp4", CLIP.frames, s3)
    work, job = labeller(scratch_cap_gib=1.5 * (ref.num_bytes or 0) / 2**30), _job(ref, CLIP)
    work.prepare(job)
    threads_end()
    assert not copies(work)
    with work._opened(job, Stopwatch()) as opened:
        assert opened.path.exists()
