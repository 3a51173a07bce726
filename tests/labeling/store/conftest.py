"""Which storage version a test's new stores have."""

import pytest

from labeling.store import commit


@pytest.fixture
def version_2(monkeypatch: pytest.MonkeyPatch) -> None:
    """New stores keep whole tables beside each snapshot, as a release before this one made them."""
    monkeypatch.setattr(commit, "NEW_STORES", 2)


@pytest.fixture(params=["whole tables", "parts"])
def both_versions(request: pytest.FixtureRequest) -> None:
    """New stores of either storage version."""
    if request.param == "whole tables":
        request.getfixturevalue("version_2")
