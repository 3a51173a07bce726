"""Names that are not listed lead to the one that was meant."""

import pytest

from labeling.ingest.spelling import Nearest, composed, folded

LISTED = ["a.mp4", "Cam 1/day one.mp4", "caf\u00e9.mov", "deep/er/clip.mkv"]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("A.MP4", "a.mp4"), ("a.mp4 ", "a.mp4"), ("/a.mp4", "a.mp4"), ("cam 1//day one.mp4", "Cam 1/day one.mp4"),
        ("a\u200b.mp4", "a.mp4"), ("cafe\u0301.mov", "caf\u00e9.mov"), ("clip.mkv", "deep/er/clip.mkv"),
        ("a.mov", "a.mp4"), ("Cam 1/day on.mp4", "Cam 1/day one.mp4"), ("something else", None), ("x" * 100_000, None),
    ],
)
def test_the_nearest_name(name: str, near: str | None) -> None:
    assert Nearest(LISTED).to(name) == near


def test_forms() -> None:
    assert composed("cafe\u0301") == "caf\u00e9"
    assert folded("./A//\uff22 \u200b/c") == "a/b/c"
