"""Fixtures that every room may use."""

import os

pytest_plugins = ["tests.fixtures_s3", "tests.fixtures_clips"]

# Beside another worker, one thread each is faster than two that take turns.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
