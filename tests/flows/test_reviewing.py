"""Corrections on their way from the queue into the dataset's table and, when they are taken back, out of it."""

from pathlib import Path

from flows.configure import load_config
from flows.reviewing import CORRECTIONS, collect_corrections, open_queue, queue_at_hand, read_corrections
from labeling import rle
from labeling.ingest.prompts import write_prompts
from labeling.objects import open_objects
from labeling.review.desk import Desk
from labeling.review.queue import ReviewQueue
from labeling.types import Prompt, PromptSource
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
        Desk(queue).undo(taken_back.seq, "ann")
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
