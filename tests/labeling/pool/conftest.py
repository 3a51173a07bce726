"""Jobs for the pool's tests; what is in them does not matter to the pool."""

from collections.abc import Callable

import pytest

from labeling.jobs import Job
from labeling.types import Prompt, VideoRef


def job_named(key: str, number: int) -> Job:
    """A job whose key tells the tests' work what to do."""
    name = f"{number:016x}"
    prompt = Prompt(1, 0, box_xyxy=(0.0, 0.0, 8.0, 8.0))
    return Job("run-1", VideoRef(name, key, f"file:///{key}", "content", 1), (prompt,), {1: "k"}, {1: 1}, name)


@pytest.fixture(scope="session")
def make_jobs() -> Callable[..., list[Job]]:
    """Make one job for each word given."""
    return lambda *words: [job_named(word, number) for number, word in enumerate(words)]
