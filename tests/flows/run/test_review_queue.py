"""Corrections on their way from the queue into the dataset's table and, when they are taken back, out of it."""

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.configure import load_config
from flows.run import review_queue as reviewing
from flows.run.review_queue import (
    CORRECTIONS,
    collect_corrections,
    corrections_now,
    open_queue,
    queue_at_hand,
    queue_shown,
    queue_url,
    read_corrections,
)
from flows.run.status import status_of
from labeling import rle
from labeling.errors import Unavailable
from labeling.ingest.prompts import write_prompts
from labeling.objects import open_objects
from labeling.review.queue import ReviewQueue
from labeling.types import Prompt, PromptSource
from tests.fixtures_rights import without_rights
from tests.labeling.review.samples import click, item


def test_a_correction_that_was_taken_back_leaves_the_table(tmp_path: Path) -> None:
    objects = open_objects(str(tmp_path))
    older = Prompt(7, 9, points_xy=((1.0, 1.0),), labels=(1,), source=PromptSource.CORRECTION)
    write_prompts(tmp_path / CORRECTIONS, [("clip-1.mp4", older)])
    with ReviewQueue(str(tmp_path / "queue.sqlite")) as queue:
        queue.open_items([item(1), item(2)])
        gone = Prompt(7, 6, mask=rle.empty((4, 6)), source=PromptSource.CORRECTION, span=(5, 8))
        kept = queue.decide(1, "correct", prompts=[click(), gone], reviewer="ann")
        taken_back = queue.decide(2, "correct", prompts=[click()], reviewer="ann")
        told = collect_corrections(objects, queue)
        assert told.by_video == {"clip-1.mp4": (*kept.prompts, older), "clip-2.mp4": taken_back.prompts}
        queue.undo(taken_back.seq, "ann")
        assert collect_corrections(objects, queue).by_video == {"clip-1.mp4": (*kept.prompts, older)}
    assert read_corrections(objects).by_video == {"clip-1.mp4": (*kept.prompts, older)}


def test_a_queue_is_at_hand_only_where_somebody_made_one(tmp_path: Path) -> None:
    config = load_config([f"store.root={tmp_path / 'store'}"])
    with queue_at_hand(config) as queue:
        assert queue is None
    assert not list(tmp_path.rglob("*.sqlite"))
    with open_queue(config) as made:
        made.open_items([item(1)])
    with queue_at_hand(config) as queue:
        assert queue is not None
        assert len(queue.list()) == 1


@pytest.fixture(autouse=True)
def _each_warning_again() -> None:
    reviewing._warn.cache_clear()


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder, and a data folder of this test's own."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "LABELING_REVIEW_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user of this machine can read."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_the_queue_of_a_bucket_is_the_same_from_every_folder(
    elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(["store.root=s3://labels/cars/"])
    with open_queue(config) as queue:
        queue.open_items([item(1)])
    monkeypatch.chdir(tmp_path)
    with queue_at_hand(load_config(["store.root=s3://labels/cars"])) as found:
        assert found is not None
        assert len(found.list()) == 1
    assert not list(elsewhere.iterdir())
    assert queue_url(config).startswith(str(tmp_path / "data" / "samurai-labeling" / "review" / "labels-cars-"))
    here = queue_url(config)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")
    assert queue_url(config) != here, "the same name at another server is another dataset"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "ann"))
    assert queue_url(config).startswith(str(tmp_path / "ann" / ".local/share/samurai-labeling/review"))


def test_a_queue_that_lies_in_the_working_folder_is_gone_on_with_and_named(
    elsewhere: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = load_config(["store.root=s3://labels/earlier"])
    before = elsewhere / f"review-{hashlib.sha256(b's3://labels/earlier').hexdigest()[:8]}.sqlite"
    before.touch()
    assert queue_url(config) == str(before)
    assert f"mv {before} {tmp_path}/data/samurai-labeling/review/labels-earlier-" in caplog.text
    before.rename(elsewhere / "away")
    place = Path(queue_url(config))
    place.parent.mkdir(parents=True)
    place.touch()
    (elsewhere / "away").rename(before)
    assert queue_url(config) == str(place)
    assert f"{before} is not read: the queue of s3://labels/earlier is {place}" in caplog.text


def test_a_place_for_the_queue_is_read_alike_by_all(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(elsewhere))
    for named in ("~/queue.sqlite", "sqlite:///~/queue.sqlite", f"{elsewhere}/queue.sqlite", "queue.sqlite"):
        config = load_config([f"run.review_url={named}"])
        assert queue_shown(config) == f"{elsewhere}/queue.sqlite"
        with queue_at_hand(config) as found:
            assert found is None
    with open_queue(load_config(["run.review_url=~/queue.sqlite"])):
        assert (elsewhere / "queue.sqlite").is_file()
    assert queue_shown(load_config(["run.review_url=postgresql://ann:hunter22@db/review"])) == "postgresql://ann:***@db/review"
    odd = load_config([f"run.review_url={elsewhere}/100%25?mode=x/queue.sqlite"])
    with open_queue(odd):
        assert (elsewhere / "100%25?mode=x" / "queue.sqlite").is_file()


def test_a_queue_that_cannot_be_written_to_is_read(open_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = open_folder / "store"
    config = load_config([f"store.root={root}"])
    with ReviewQueue(str(root / "review.sqlite")) as made:
        made.open_items([item(1)])
        made.decide(1, "correct", prompts=[click()], reviewer="ann")
    (root / "review.sqlite").chmod(0o644)
    root.chmod(0o555)
    with without_rights():
        with queue_at_hand(config) as found:
            assert found is not None
            assert len(found.list(None)) == 1
        assert corrections_now(config, open_objects(str(root))).by_video.keys() == {"clip-1.mp4"}
    assert [path.name for path in root.iterdir()] == ["review.sqlite"]
    (root / "review.sqlite").chmod(0o600)
    with without_rights(), pytest.raises(Unavailable, match="Permission denied"), queue_at_hand(config):
        pass
    with without_rights():      # who may not read the queue may plan, and see all else of the status
        assert corrections_now(config, open_objects(str(root))).by_video == {}
        status = status_of(config)
    assert (status.backlog, status.damaged) == (None, ())
    assert "Permission denied" in status.queue_hidden
    assert "corrections that no run has taken in yet are left out" in caplog.text
    root.chmod(0o755)


def test_a_queue_that_nobody_may_make_is_named(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (elsewhere / "file").touch()
    config = load_config([f"run.review_url={elsewhere}/file/below/queue.sqlite"])
    with pytest.raises(Unavailable, match=r"review queue .*/queue\.sqlite cannot be opened: Not a directory; give another"), \
            open_queue(config):
        pass
    with queue_at_hand(config) as found:
        assert found is None


def test_planning_reads_the_queue_and_writes_nothing(tmp_path: Path) -> None:
    root = tmp_path / "store"
    config = load_config([f"store.root={root}"])
    assert corrections_now(config, open_objects(str(root))).by_video == {}
    assert not root.exists()
    with open_queue(config) as queue:
        queue.open_items([item(1)])
        queue.decide(1, "correct", prompts=[click()], reviewer="ann")
    assert corrections_now(config, open_objects(str(root))).by_video.keys() == {"clip-1.mp4"}
    assert not (root / CORRECTIONS).exists()
