"""What matches what."""

import pytest

from labeling.errors import BadConfiguration
from labeling.ingest.globs import compile_glob, has_video_suffix, literal_start, names_suffix


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
