"""A bad value is shown with its name and what was expected of it."""

import pytest

from labeling.errors import require


def test_require_says_nothing_when_all_is_well() -> None:
    require(True, "x", 1, "1")


def test_require_shows_name_value_and_expectation() -> None:
    with pytest.raises(ValueError, match="x is 1; expected 2"):
        require(False, "x", 1, "2")
