"""A letter says what failed and why, and is open until its job is done."""

from dataclasses import replace
from pathlib import Path

import pytest

from labeling.errors import BadInput, DamagedStore, ErrorKind, record_of
from labeling.ingest.prompts import PromptTable
from labeling.jobs import Job
from labeling.objects import Objects, open_objects
from labeling.store.dead_letters import (
    DeadLetter,
    dead_job,
    job_from_dict,
    job_to_dict,
    put_dead_letter,
    read_dead_letters,
    still_open,
)
from labeling.store.ledger import read_ledger
from labeling.store.plan import make_plan
from labeling.types import RLE, Prompt
from tests.labeling.store.made_store import RECIPE, box_prompt, ref_of, write_job


@pytest.fixture
def store(tmp_path: Path) -> Objects:
    return open_objects(str(tmp_path / "store"))


def job_for(store: Objects, *prompts: Prompt) -> Job:
    return make_plan([ref_of("a.mp4")], PromptTable({"a.mp4": prompts}), read_ledger(store), RECIPE, "run-1").jobs[0]


def failed(job: Job) -> DeadLetter:
    try:
        raise BadInput("frame 7 cannot be decoded", "decode_error")
    except BadInput as error:
        return dead_job(job, record_of(error))


def test_a_letter_comes_back_whole(store: Objects) -> None:
    job = job_for(store, box_prompt(1, category="cat"), Prompt(2, 3, mask=RLE((24, 32), "0" * 3)))
    letter = failed(job)
    key = put_dead_letter(store, letter)
    assert key.startswith(f"runs/run-1/dead/{job.video.video_id}-")
    (read,) = read_dead_letters(store)
    assert read == letter
    assert "decode_error" in read.error.reason
    assert "BadInput" in read.error.traceback
    assert job_from_dict(read.payload) == job


def test_the_same_failure_is_one_letter_and_another_is_another(store: Objects) -> None:
    job = job_for(store, box_prompt(1))
    for letter in (failed(job), failed(job), failed(job_for(store, box_prompt(2)))):
        put_dead_letter(store, letter)
    put_dead_letter(store, replace(failed(job), run_id="run-2"))
    assert len(list(read_dead_letters(store, "run-1"))) == 2
    assert [d.run_id for d in read_dead_letters(store)] == ["run-1", "run-1", "run-2"]


def test_a_letter_is_open_until_all_of_its_job_is_done(store: Objects, tmp_path: Path) -> None:
    letter = failed(job_for(store, box_prompt(1), box_prompt(2)))
    assert still_open(letter, read_ledger(store))
    write_job(store, job_for(store, box_prompt(1)), tmp_path / "scratch")
    assert still_open(letter, read_ledger(store))
    write_job(store, job_for(store, box_prompt(1), box_prompt(2)), tmp_path / "scratch")
    assert not still_open(letter, read_ledger(store))


def test_a_letter_without_a_job_says_so(store: Objects) -> None:
    table = PromptTable({"gone.mp4": (box_prompt(1),)})
    (letter,) = make_plan([], table, read_ledger(store), RECIPE, "run-1").dead
    assert (letter.error.kind, letter.error.reason) == (ErrorKind.POISON, "unknown_video")
    assert not letter.replayable
    assert still_open(letter, read_ledger(store))


def test_a_broken_letter_is_named(store: Objects) -> None:
    store.put("runs/run-1/dead/x.json", b"{}")
    with pytest.raises(DamagedStore, match=r"runs/run-1/dead/x\.json"):
        list(read_dead_letters(store))


def test_a_job_travels_as_plain_values(store: Objects) -> None:
    job = job_for(store, box_prompt(1), box_prompt(2))
    assert job_from_dict(job_to_dict(job)) == job


def test_a_secret_within_a_name_is_cut_out_of_messages_alone(store: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "videos/a")
    letter = dead_job(job_for(store, box_prompt(1)), record_of(BadInput("s3://videos/a.mp4 is broken", "decode_error")))
    put_dead_letter(store, letter)
    (read,) = read_dead_letters(store)
    assert (read.video, read.payload, read.key) == (letter.video, letter.payload, letter.key)
    assert read.error.message == "s3://***.mp4 is broken"
    row = DeadLetter("run", "https://ann:secret@films/a.mp4", None, letter.error, {"lines": [3]})
    assert b"secret" not in store.get(put_dead_letter(store, row))
