"""Which storage version a test's new stores have."""

import pytest

from labeling.store import commit


@pytest.fixture(autouse=True)
def version_3(monkeypatch: pytest.MonkeyPatch) -> None:
    """New stores are kept in parts, as `labeling upgrade` leaves them."""
    monkeypatch.setattr(commit, "NEW_STORES", 3)


@pytest.fixture
def version_2(monkeypatch: pytest.MonkeyPatch, version_3: None) -> None:
    """New stores keep whole tables beside each snapshot, as they do until they are upgraded."""
    monkeypatch.setattr(commit, "NEW_STORES", 2)


@pytest.fixture(params=["whole tables", "parts"])
def both_versions(request: pytest.FixtureRequest) -> None:
    """New stores of either storage version."""
    if request.param == "whole tables":
        request.getfixturevalue("version_2")
