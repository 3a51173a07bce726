"""Every test is in one of the two suites: what is called slow is there."""

from tests.conftest import HERE, SLOW


def test_every_slow_file_is_there() -> None:
    assert [name for name in SLOW if not (HERE / name).is_file()] == []
