"""A hundredth of the campaign, and that it can tell what is wrong."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.campaigns import byte_flips
from tests.campaigns.byte_flips import Figures, Outcome, Worker, campaign, outcome_of


@pytest.mark.timeout(300)
def test_damaged_files_give_frames_or_a_named_error() -> None:
    figures = campaign(byte_flips.CASES // 100, seed=7)
    assert figures.wrong == []
    assert sum(figures.outcomes.values()) == byte_flips.CASES // 100
    assert min(figures.outcomes["frames"], figures.outcomes["decode_error"], figures.outcomes["not_a_video"]) > 0


def test_what_is_wrong_is_seen() -> None:
    def read(error: Exception | None, level: int = 0) -> Iterator[Any]:
        yield np.full((2, 2, 3), level, np.uint8)
        if error:
            raise error

    plain, other = outcome_of(lambda: read(None), ValueError), outcome_of(lambda: read(None, 1), ValueError)
    assert (plain.kind, plain.what) == ("frames", "1")
    assert plain != other
    for error in (AttributeError("x"), ValueError("nobody named it")):
        assert outcome_of(lambda error=error: read(error), ValueError).kind == "fault"
    figures = Figures()
    figures.add("case 0", (plain, plain), 0.1)
    assert figures.wrong == []
    figures.add("case 1", (plain, other), 0.1)
    figures.add("case 2", (Outcome("hang", ""), Outcome("hang", "")), 0.1)
    assert [line.partition(":")[0] for line in figures.wrong] == ["case 1", "case 2 alike"]


def test_a_process_that_dies_is_named_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("text")
    worker = Worker()
    try:
        assert worker.read(path, 30)[0].kind == "named"
        worker.process.kill()
        worker.process.join()
        assert worker.read(path, 30)[0] == Outcome("crash", "SIGKILL")
        assert worker.read(path, 30)[1].kind == "named"
    finally:
        worker.close()
