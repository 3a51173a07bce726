"""Corrections on their way from the queue into the dataset's table and, when they are taken back, out of it."""

from pathlib import Path

from flows.reviewing import CORRECTIONS, collect_corrections, read_corrections
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
        kept = queue.decide(1, "correct", prompts=[click()], reviewer="ann")
        taken_back = queue.decide(2, "correct", prompts=[click()], reviewer="ann")
        told = collect_corrections(objects, queue)
        assert told.by_video == {"clip-1.mp4": (*kept.prompts, older), "clip-2.mp4": taken_back.prompts}
        Desk(queue).undo(taken_back.seq, "ann")
        assert collect_corrections(objects, queue).by_video == {"clip-1.mp4": (*kept.prompts, older)}
    assert read_corrections(objects).by_video == {"clip-1.mp4": (*kept.prompts, older)}
