"""Which frames corrections with spans change, and when a version is made in part."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from labeling.config import QCConfig
from labeling.objects import FolderObjects
from labeling.store import layout
from labeling.store.dead_letters import job_from_dict, job_to_dict
from labeling.store.kept import joined, keep_what_is_not_corrected, kept_of
from labeling.store.keys import LabelRecipe
from labeling.store.ledger import read_ledger
from labeling.store.plan import make_plan
from labeling.store.publish import publish
from labeling.types import Job, Kept, Prompt, PromptSource
from tests.labeling.store.made_store import RECIPE, Table, box_prompt, ref_of, write_job

SEED = box_prompt(1, category="cat")


def click(frame_idx: int, span: tuple[int, int] | None, x: float = 5) -> Prompt:
    return Prompt(1, frame_idx, points_xy=((x, 5),), labels=(1,), source=PromptSource.CORRECTION, span=span)


@pytest.mark.parametrize(("before", "now", "spans", "starts"), [
    ([SEED], [SEED, click(3, (2, 5))], ((2, 5),), (3,)),
    ([SEED], [SEED, click(4, (4, 6)), click(3, (2, 5))], ((2, 6),), (3,)),
    ([SEED], [SEED, click(0, (0, 2)), click(4, (3, 6))], ((0, 2), (3, 6)), (0, 4)),
    ([SEED, click(1, None)], [SEED, click(1, None), click(3, (0, 5))], ((0, 5),), (3,)),
    ([SEED, click(3, (2, 5))], [SEED, click(3, (3, 6), x=7)], ((3, 6),), (3,)),     # said again, otherwise
    ([SEED], [box_prompt(1, category="dog"), click(3, (2, 5))], ((2, 5),), (3,)),     # what it is called changes no mask
])
def test_what_changes(
    before: Sequence[Prompt], now: Sequence[Prompt], spans: tuple[tuple[int, int], ...], starts: tuple[int, ...]
) -> None:
    assert kept_of("masks", before, now) == Kept("masks", spans, starts)


@pytest.mark.parametrize(("before", "now"), [
    ([SEED], [SEED, click(3, (2, 5)), click(4, None)]),
    ([SEED], [box_prompt(1, x0=3), click(3, (2, 5))]),     # another seed
    ([SEED, click(1, None)], [SEED, click(3, (2, 5))]),     # taken away elsewhere
    ([SEED], [SEED]),
])
def test_nothing_is_kept_where_more_has_changed(before: Sequence[Prompt], now: Sequence[Prompt]) -> None:
    assert kept_of("masks", before, now) is None


def test_spans_that_touch_are_one() -> None:
    assert joined([(4, 6), (0, 2), (2, 3), (5, 9)]) == ((0, 3), (4, 9))
    with pytest.raises(ValueError, match="spans"):
        Kept("masks", ((0, 2), (2, 3)), (0, 2))
    with pytest.raises(ValueError, match="starts"):
        Kept("masks", ((0, 2), (4, 5)), (0, 2))


def due(objects: FolderObjects, prompts: Sequence[Prompt], recipe: LabelRecipe = RECIPE) -> Job:
    ledger = read_ledger(objects)
    plan = make_plan([ref_of("a.mp4")], Table({"a.mp4": tuple(prompts)}), ledger, recipe, "run-2")
    (job,) = keep_what_is_not_corrected(objects, ledger, plan).jobs
    return job


def test_a_plan_keeps_the_version_before_where_spans_are_all_that_is_new(tmp_path: Path) -> None:
    objects, other = FolderObjects(tmp_path / "store"), box_prompt(2)
    first = due(objects, [SEED, other])
    assert first.kept == {}
    write_job(objects, first, tmp_path)
    corrected = [SEED, click(3, (2, 5)), other]
    job = due(objects, corrected)
    before = layout.data_file("masks", first.video.video_id, first.batch)
    assert (set(job.keys), job.kept) == ({1}, {1: Kept(before, ((2, 5),), (3,))})
    assert job_from_dict(job_to_dict(job)) == job
    assert due(objects, corrected, LabelRecipe(RECIPE.model, {"name": "sam2", "overrides": {}})).kept == {}, "another tracker"

    write_job(objects, job, tmp_path)
    third = due(objects, [*corrected, click(0, (0, 1))])
    newest = Kept(layout.data_file("masks", job.video.video_id, job.batch), ((0, 1),), (0,))
    assert third.kept == {1: newest}
    publish(objects, QCConfig("off", []), run_id="run-2")
    assert due(objects, [*corrected, click(0, (0, 1))]).kept == {1: newest}, "published or not"
