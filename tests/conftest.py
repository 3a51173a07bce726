"""Fixtures that every room may use, and how the suite is shared between workers."""

import os

import pytest

pytest_plugins = ["tests.fixtures_s3", "tests.fixtures_clips"]

# Beside another worker, one thread each is faster than two that take turns.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Files whose tests share nothing: each test may go to whichever worker is free, last, when one has nothing else to do.
SHARED_OUT = "test_parity.py"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep a file's tests on one worker, and on one all that need a Prefect server and Ray: they begin first, being longest."""
    runs = {item.path for item in items if "prefect_server" in getattr(item, "fixturenames", ())}
    for item in items:
        if item.path.name != SHARED_OUT:
            group = "runs" if item.path in runs else str(item.path.relative_to(item.config.rootpath))
            item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: (item.path.name == SHARED_OUT, item.path not in runs))
