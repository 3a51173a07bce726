"""Programs written for the released package get its answers here; the whole list is a command."""

import json

import pytest

from tests.campaigns.client_programs import ANSWERS, PROGRAMS, answer_of, differences
from tests.sam2.clips import one_thread  # noqa: F401

WANTED = json.loads(ANSWERS.read_text())


@pytest.mark.parametrize("name", [*PROGRAMS][::3])
def test_answers_as_released(name: str) -> None:
    assert not differences(answer_of(name), WANTED[name])


def test_every_program_has_its_answer() -> None:
    assert set(WANTED) == set(PROGRAMS)


def test_a_difference_is_told() -> None:
    wanted = {"a": [1.0, {"shape": [2], "mean": 0.5}], "b": True}
    assert not differences(json.loads(json.dumps(wanted)), wanted)
    assert differences({"a": [1.0, {"shape": [2], "mean": 0.51}], "b": True}, wanted) == [".a[1].mean is 0.51, released 0.5"]
    assert differences({"a": [1.0], "b": 1}, wanted) == [".a is [1.0], released [1.0, {'shape': [2], 'mean': 0.5}]"]
