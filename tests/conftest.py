"""Fixtures that every room may use, and which tests are slow."""

import os
from pathlib import Path

import pytest

pytest_plugins = ["tests.fixtures_s3", "tests.fixtures_clips"]

# Beside another worker, one thread each is faster than two that take turns.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Killed processes, the page in a browser, foreign readers, real clips, training on Ray: `make test-slow`.
SLOW = (
    "flows/learn/test_train_ray.py",
    "flows/test_real_clips.py",
    "flows/test_survival.py",
    "labeling/pool/test_driver_dies.py",
    "labeling/review/test_claims_over_http.py",
    "labeling/review/web/test_page.py",
    "labeling/store/test_open_formats.py",
)
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make test` leaves to `make test-slow`."""
    for item in items:
        if item.path.is_relative_to(HERE) and item.path.relative_to(HERE).as_posix() in SLOW:
            item.add_marker(pytest.mark.slow)
