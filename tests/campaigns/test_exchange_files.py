"""A hundredth of the campaign, and that it can tell what is wrong."""

from pathlib import Path
from typing import NoReturn

import pytest

from labeling.errors import BadInput
from tests.campaigns.exchange_files import CASES, campaign, outcome_of


@pytest.mark.timeout(300)
def test_mutated_files_are_read_or_refused_by_name() -> None:
    figures = campaign(CASES // 100, seed=7)
    assert figures.wrong == []
    assert all(figures.outcomes[f"{kind} refused"] > 0 for kind in ("cvat", "label_studio"))
    assert sum(figures.outcomes.values()) == CASES // 100


def test_what_is_wrong_is_seen(tmp_path: Path) -> None:
    def failing(error: BaseException) -> NoReturn:
        raise error

    assert outcome_of(lambda path: failing(BadInput(f"{path}: a", "x")), tmp_path) == "refused"
    for error in (BadInput("of some file", "x"), KeyError("x"), MemoryError()):
        assert outcome_of(lambda path, error=error: failing(error), tmp_path).startswith("fault")
    assert outcome_of(lambda path: [], tmp_path) == "read"
