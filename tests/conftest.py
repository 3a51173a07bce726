"""Fixtures that every room may use."""

pytest_plugins = ["tests.fixtures_s3", "tests.fixtures_clips"]
