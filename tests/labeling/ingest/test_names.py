"""Which keys a glob matches, and which listed name one that is not listed was to be."""

import pytest

from labeling.errors import BadConfiguration
from labeling.ingest.names import Nearest, compile_glob, composed, folded, has_video_suffix, literal_start, names_suffix

LISTED = ["a.mp4", "Cam 1/day one.mp4", "caf\u00e9.mov", "deep/er/clip.mkv"]


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("**", ["a", "a/b.mp4", ".h/x"], []),
        ("**/*.mp4", ["a.mp4", "x/a.mp4", "x/y/.a.mp4"], ["a.mov", "mp4", "a.mp4/b"]),
        ("*.mp4", ["a.mp4"], ["x/a.mp4"]),
        ("day/**", ["day/a", "day/b/c"], ["day", "days/a"]),
        ("a/**/z.mp4", ["a/z.mp4", "a/b/c/z.mp4"], ["a/bz.mp4", "z.mp4"]),
        ("cam?/[0-9]*.{mp4,mov}", ["cam1/0.mp4", "cam2/77x.mov"], ["cam10/0.mp4", "cam1/x.mp4", "cam1/0.avi"]),
        ("[!a]/x", ["b/x"], ["a/x", "//x"]),
        ("a+b (1),%.mp4", ["a+b (1),%.mp4"], ["aab (1),%.mp4"]),
        ("odd[.mp4", ["odd[.mp4"], ["odd.mp4"]),
        ("**.mp4", ["a.mp4", "x/a.mp4"], ["a.mov"]),
    ],
)
def test_globs(pattern: str, yes: list[str], no: list[str]) -> None:
    glob = compile_glob(pattern)
    assert [key for key in yes + no if glob.match(key)] == yes


@pytest.mark.parametrize("pattern", ["", "/abs/**", "a{b", "a}b"])
def test_a_glob_that_makes_no_sense_is_named(pattern: str) -> None:
    with pytest.raises(BadConfiguration, match=r"source\.glob is"):
        compile_glob(pattern)


def test_what_stands_before_the_first_wildcard() -> None:
    assert [literal_start(p) for p in ("**", "day/cam1_*.mp4", "a/b.mp4", "x{1,2}")] == ["", "day/cam1_", "a/b.mp4", "x"]


def test_a_glob_names_a_suffix_only_if_it_spells_one() -> None:
    assert [names_suffix(p) for p in ("**", "a.d/**", "*.*", "*.mp4", "**/*.m*", "*.{ts,bin}")] == [False] * 3 + [True] * 3


def test_video_suffixes_do_not_mind_case() -> None:
    assert [has_video_suffix(key) for key in ("a.MP4", "x/a.webm", "a.txt", "a.mp4.part")] == [True, True, False, False]


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
