"""What is due and why, which frames corrections with spans change, and when a version is made in part."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from labeling.config import QCConfig
from labeling.ingest.prompts import BadRow, PromptTable
from labeling.jobs import Job, KeptMasks
from labeling.objects import FolderObjects, Objects, open_objects
from labeling.store import layout
from labeling.store.dead_letters import job_from_dict, job_to_dict
from labeling.store.keys import Keyer, LabelRecipe, batch_of
from labeling.store.ledger import ledger_of, read_ledger
from labeling.store.plan import Plan, joined, limit_to_corrected_spans, make_plan, unchanged_part
from labeling.store.publish import publish
from labeling.store.schemas import LEDGER
from labeling.types import Prompt, PromptSource
from tests.labeling.store.made_store import RECIPE, box_prompt, ref_of, write_job

SEED = box_prompt(1, category="cat")


@pytest.fixture
def store(tmp_path: Path) -> Objects:
    return open_objects(str(tmp_path / "store"))


def planned(store: Objects, refs, by_video, *, run_id="run", recipe=RECIPE, **given) -> Plan:
    return make_plan(refs, PromptTable(by_video, **given), read_ledger(store), recipe, run_id)


def label(store: Objects, plan: Plan, tmp_path: Path) -> None:
    for job in plan.jobs:
        write_job(store, job, tmp_path / "scratch")


def test_a_new_video_then_nothing(store: Objects, tmp_path: Path) -> None:
    refs, prompts = [ref_of("a.mp4"), ref_of("b.mp4")], {"a.mp4": (box_prompt(1), box_prompt(2))}
    plan = planned(store, refs, prompts)
    assert [(e.key, e.will_run, e.why, e.due_objects) for e in plan.entries] == [
        ("a.mp4", True, "new", (1, 2)), ("b.mp4", False, "no prompts", ()),
    ]
    (job,) = plan.jobs
    assert job.batch == batch_of(job.keys.values())
    assert job.label_versions == {1: 1, 2: 1}
    label(store, plan, tmp_path)
    again = planned(store, refs, prompts)
    assert (again.jobs, again.reasons) == ((), {"done": 1, "no prompts": 1})
    renamed = {"a.mp4": (box_prompt(2, category="cat"), box_prompt(1, category="dog"))}
    assert planned(store, refs, renamed).jobs == ()


def test_a_changed_prompt_redoes_one_object(store: Objects, tmp_path: Path) -> None:
    refs = [ref_of("a.mp4")]
    label(store, planned(store, refs, {"a.mp4": (box_prompt(1), box_prompt(2))}), tmp_path)
    changed = planned(store, refs, {"a.mp4": (box_prompt(1), box_prompt(2, 5.0), box_prompt(3))})
    (job,) = changed.jobs
    assert (changed.entries[0].why, changed.entries[0].due_objects) == ("new, prompts changed", (2, 3))
    assert job.label_versions == {2: 2, 3: 1}
    assert {p.object_id for p in job.prompts} == {2, 3}


@pytest.mark.parametrize(
    ("ref", "recipe", "why"),
    [
        (ref_of("a.mp4", "etag-2"), RECIPE, "video changed"),
        (ref_of("a.mp4"), replace(RECIPE, model={"config": "sam2.1_hiera_t"}), "model changed"),
        (ref_of("a.mp4"), replace(RECIPE, tracker={"name": "sam2"}), "tracker changed"),
        (ref_of("a.mp4"), replace(RECIPE, frame_stride=2), "frames changed"),
        (ref_of("a.mp4"), replace(RECIPE, direction="both"), "direction changed"),
        (ref_of("a.mp4"), replace(RECIPE, semantics_version=9), "tracking code changed"),
        (ref_of("a.mp4", "etag-2"), replace(RECIPE, frame_stride=2), "video changed, frames changed"),
    ],
)
def test_why_names_what_changed(store: Objects, tmp_path: Path, ref, recipe, why: str) -> None:
    prompts = {"a.mp4": (box_prompt(1),)}
    label(store, planned(store, [ref_of("a.mp4")], prompts), tmp_path)
    plan = planned(store, [ref], prompts, recipe=recipe)
    assert (plan.entries[0].why, plan.jobs[0].label_versions) == (why, {1: 2})


def test_two_copies_of_one_file_are_two_videos(store: Objects, tmp_path: Path) -> None:
    refs, prompts = [ref_of("a.mp4", "same"), ref_of("b.mp4", "same")], {"a.mp4": (box_prompt(1),), "b.mp4": (box_prompt(1),)}
    first = planned(store, refs[:1], prompts, run_id="one")
    label(store, first, tmp_path)
    second = planned(store, refs, prompts)
    assert [(e.key, e.will_run) for e in second.entries] == [("a.mp4", False), ("b.mp4", True)]
    assert second.jobs[0].keys == first.jobs[0].keys


def test_a_prompt_changed_back_is_a_new_version_beside_the_old_files(store: Objects, tmp_path: Path) -> None:
    refs, before, after = [ref_of("a.mp4")], {"a.mp4": (box_prompt(1),)}, {"a.mp4": (box_prompt(1, 7.0),)}
    first = planned(store, refs, before)
    for prompts in (before, after):
        label(store, planned(store, refs, prompts), tmp_path)
    back = planned(store, refs, before)
    (job,) = back.jobs
    assert (back.entries[0].why, job.label_versions) == ("prompts changed", {1: 3})
    assert job.keys == first.jobs[0].keys
    assert job.batch != first.jobs[0].batch
    label(store, back, tmp_path)
    assert sum(1 for _ in store.list("masks/")) == 3
    assert planned(store, refs, before).jobs == ()


def test_a_job_s_prompts_have_one_order(store: Objects) -> None:
    prompts = (box_prompt(2), box_prompt(1, 9.0), box_prompt(1, 3.0), replace(box_prompt(1), frame_idx=4))
    jobs = [planned(store, [ref_of("a.mp4")], {"a.mp4": order}).jobs[0] for order in (prompts, prompts[::-1])]
    assert jobs[0] == jobs[1]


def test_bad_rows_and_unknown_videos_are_dead_letters_and_the_rest_runs(store: Objects) -> None:
    rows = [BadRow("a.mp4", 3, "box_xyxy is None"), BadRow("a.mp4", 7, "labels is []"), BadRow("zz.mp4", 9, "no")]
    prompts = {"a.mp4": (box_prompt(1),), "gone.mp4": (box_prompt(4), box_prompt(2))}
    plan = planned(store, [ref_of("a.mp4")], prompts, bad_rows=rows)
    assert len(plan.jobs) == 1
    said = {(d.video, d.error.reason, d.video_id is None): d.error.message for d in plan.dead}
    assert set(said) == {("a.mp4", "bad_prompt", False), ("zz.mp4", "bad_prompt", True), ("gone.mp4", "unknown_video", True)}
    assert "line 3: box_xyxy is None; line 7: labels is []" in said["a.mp4", "bad_prompt", False]
    assert "objects [2, 4]" in said["gone.mp4", "unknown_video", True]
    assert len({d.key for d in plan.dead}) == 3


def test_a_part_of_the_source_says_nothing_of_videos_elsewhere(store: Objects) -> None:
    table = PromptTable({"gone.mp4": (box_prompt(1),)}, (BadRow("gone.mp4", 9, "no"),))
    assert make_plan([], table, read_ledger(store), RECIPE, "run", whole_source=False).dead == ()


def test_a_result_that_does_not_say_what_it_was_made_of(store: Objects, tmp_path: Path) -> None:
    refs = [ref_of("a.mp4")]
    plan = planned(store, refs, {"a.mp4": (box_prompt(1),)})
    write_job(store, replace(plan.jobs[0], components={}), tmp_path / "scratch")
    assert planned(store, refs, {"a.mp4": (box_prompt(1, 4.0),)}).entries[0].why == "inputs changed"


def test_planning_when_nothing_is_due_costs_little() -> None:
    num_videos = 20_000
    refs = [ref_of(f"{i:06}.mp4", f"etag-{i}") for i in range(num_videos)]
    table = PromptTable({ref.key: (box_prompt(1, i % 50),) for i, ref in enumerate(refs)})
    keyer = Keyer(RECIPE)
    rows = {
        "video_id": [ref.video_id for ref in refs],
        "key": [keyer.key(ref.content_id, table.by_video[ref.key]) for ref in refs],
        "object_id": [1] * num_videos,
        "label_version": [1] * num_videos,
        **{name: ["x"] * num_videos for name in ("batch", "run_id", "written_at", "components")},
        "withdrawn": [None] * num_videos,
    }
    started = time.process_time()
    plan = make_plan(refs, table, ledger_of(pa.Table.from_pydict(rows, schema=LEDGER)), RECIPE, "run")
    seconds = time.process_time() - started
    assert plan.reasons == {"done": num_videos}
    assert seconds < 6


def test_a_name_that_is_not_held_leads_to_what_was_meant(tmp_path: Path) -> None:
    table = PromptTable({name: (box_prompt(1),) for name in ("A.MP4", "cam.raw", "x" * 5000, "pipe.mp4")})
    plan = make_plan(
        [ref_of("a.mp4")], table, read_ledger(open_objects(str(tmp_path))), RECIPE, "run-1",
        why_not_listed=lambda video: "it is a pipe" if video == "pipe.mp4" else "",
    )
    told = {letter.video[:8]: letter.error.message for letter in plan.dead}
    assert "does not hold: it holds 'a.mp4'; mend the name" in told["A.MP4"]
    assert "suffix is not one of a video" in told["cam.raw"]
    assert "does not hold: it is a pipe; mend" in told["pipe.mp4"]
    assert max(map(len, told.values())) < 500


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
    assert unchanged_part("masks", before, now) == KeptMasks("masks", spans, starts)


@pytest.mark.parametrize(("before", "now"), [
    ([SEED], [SEED, click(3, (2, 5)), click(4, None)]),
    ([SEED], [box_prompt(1, x0=3), click(3, (2, 5))]),     # another seed
    ([SEED, click(1, None)], [SEED, click(3, (2, 5))]),     # taken away elsewhere
    ([SEED], [SEED]),
])
def test_nothing_is_kept_where_more_has_changed(before: Sequence[Prompt], now: Sequence[Prompt]) -> None:
    assert unchanged_part("masks", before, now) is None


def test_spans_that_touch_are_one() -> None:
    assert joined([(4, 6), (0, 2), (2, 3), (5, 9)]) == ((0, 3), (4, 9))
    with pytest.raises(ValueError, match="spans"):
        KeptMasks("masks", ((0, 2), (2, 3)), (0, 2))
    with pytest.raises(ValueError, match="starts"):
        KeptMasks("masks", ((0, 2), (4, 5)), (0, 2))


def due(objects: FolderObjects, prompts: Sequence[Prompt], recipe: LabelRecipe = RECIPE) -> Job:
    ledger = read_ledger(objects)
    plan = make_plan([ref_of("a.mp4")], PromptTable({"a.mp4": tuple(prompts)}), ledger, recipe, "run-2")
    (job,) = limit_to_corrected_spans(objects, ledger, plan).jobs
    return job


def test_a_plan_keeps_the_version_before_where_spans_are_all_that_is_new(tmp_path: Path) -> None:
    objects, other = FolderObjects(tmp_path / "store"), box_prompt(2)
    first = due(objects, [SEED, other])
    assert first.kept == {}
    write_job(objects, first, tmp_path)
    corrected = [SEED, click(3, (2, 5)), other]
    job = due(objects, corrected)
    before = layout.data_file("masks", first.video.video_id, first.batch)
    assert (set(job.keys), job.kept) == ({1}, {1: KeptMasks(before, ((2, 5),), (3,))})
    assert job_from_dict(job_to_dict(job)) == job
    assert due(objects, corrected, LabelRecipe(RECIPE.model, {"name": "sam2", "overrides": {}})).kept == {}, "another tracker"

    write_job(objects, job, tmp_path)
    third = due(objects, [*corrected, click(0, (0, 1))])
    newest = KeptMasks(layout.data_file("masks", job.video.video_id, job.batch), ((0, 1),), (0,))
    assert third.kept == {1: newest}
    publish(objects, QCConfig("off", []), run_id="run-2")
    assert due(objects, [*corrected, click(0, (0, 1))]).kept == {1: newest}, "published or not"
