"""An input that failed with a verdict on itself is left out of plans until something about it changes."""

from dataclasses import replace
from pathlib import Path

import pytest

from labeling.errors import ErrorKind, ErrorRecord
from labeling.ingest.prompts import PromptTable
from labeling.objects import Objects, open_objects
from labeling.store import dead_videos
from labeling.store.dead_letters import of_objects
from labeling.store.dead_videos import VERDICTS, leave_dead_out, note_dead_inputs
from labeling.store.keys import LabelRecipe
from labeling.store.layout import dead_video
from labeling.store.ledger import read_ledger
from labeling.store.plan import Plan, make_plan
from labeling.types import Prompt
from tests.labeling.store.made_store import RECIPE, box_prompt, ref_of

DECODE = ErrorRecord(ErrorKind.POISON, "decode_error", "frame 7 cannot be decoded")


@pytest.fixture
def store(tmp_path: Path) -> Objects:
    return open_objects(str(tmp_path / "store"))


def planned(
    store: Objects, *prompts: Prompt, content_id: str = "etag-1", recipe: LabelRecipe = RECIPE, video: str = "a.mp4"
) -> Plan:
    plan = make_plan([ref_of(video, content_id)], PromptTable({video: prompts}), read_ledger(store), recipe, "run-1")
    return leave_dead_out(store, plan)


@pytest.fixture
def dead(store: Objects) -> Objects:
    """A store in which both objects of a video failed of their file."""
    note_dead_inputs(store, planned(store, box_prompt(1), box_prompt(2)).jobs[0], DECODE)
    return store


def test_what_failed_of_its_input_is_not_due_again(dead: Objects) -> None:
    plan = planned(dead, box_prompt(1), box_prompt(2))
    (entry,) = plan.entries
    assert (plan.jobs, entry.will_run, entry.why, entry.due_objects) == ((), False, "dead: decode_error", ())
    assert plan.due_bytes == 0
    assert dict(plan.reasons) == {"dead: decode_error": 1}


@pytest.mark.parametrize("changed", [
    {"content_id": "etag-2"}, {"recipe": replace(RECIPE, model={"config": "sam2.1_hiera_t", "precision": "fp32"})},
])
def test_other_content_or_configuration_is_tried(dead: Objects, changed: dict[str, object]) -> None:
    (job,) = planned(dead, box_prompt(1), box_prompt(2), **changed).jobs  # type: ignore[arg-type]
    assert sorted(job.keys) == [1, 2]


def test_an_object_with_another_prompt_or_a_new_one_is_tried_alone(dead: Objects) -> None:
    plan = planned(dead, box_prompt(1), box_prompt(2, x0=5), box_prompt(3))
    assert [sorted(job.keys) for job in plan.jobs] == [[2, 3]]
    assert {p.object_id for p in plan.jobs[0].prompts} == {2, 3}
    assert (plan.entries[0].due_objects, plan.entries[0].why) == ((2, 3), "new; dead: decode_error")


def test_another_release_tries_once_more(dead: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_videos, "code_version", lambda: "99.0")
    assert len(planned(dead, box_prompt(1), box_prompt(2)).jobs) == 1


def test_failures_of_other_objects_join_those_before(store: Objects) -> None:
    job = planned(store, box_prompt(1), box_prompt(2)).jobs[0]
    note_dead_inputs(store, of_objects(job, {1}), DECODE)
    note_dead_inputs(store, of_objects(job, {2}), replace(DECODE, reason="bad_prompt"))
    assert [entry.why for entry in planned(store, box_prompt(1), box_prompt(2)).entries] == ["dead: bad_prompt, decode_error"]


@pytest.mark.parametrize("reason", ["deadline", "worker_died", "out_of_memory", "source_unavailable", "unexpected"])
def test_what_is_no_verdict_on_the_input_is_due_again(store: Objects, reason: str) -> None:
    assert reason not in VERDICTS
    note_dead_inputs(store, planned(store, box_prompt(1)).jobs[0], replace(DECODE, reason=reason))
    assert len(planned(store, box_prompt(1)).jobs) == 1
    assert not list(store.list("dead/"))


@pytest.mark.parametrize("body", [b"", b"[]", b'{"1": 3}', b'{"one": {}}', b"\xff\xfe"])
def test_a_damaged_note_costs_one_more_try(
    dead: Objects, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    job = planned(dead, box_prompt(1), box_prompt(2), content_id="etag-2").jobs[0]
    dead.put(dead_video(job.video.video_id), body)
    assert len(planned(dead, box_prompt(1), box_prompt(2)).jobs) == 1
    assert f"{dead_video(job.video.video_id)} is damaged" in caplog.text
    note_dead_inputs(dead, planned(dead, box_prompt(1), box_prompt(2)).jobs[0], DECODE)
    assert planned(dead, box_prompt(1), box_prompt(2)).jobs == ()
