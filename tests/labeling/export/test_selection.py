"""What is exported, and under which names."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from labeling.export.selection import folder_names, masks_of, select
from labeling.objects import open_objects
from labeling.store.reader import MaskReader


def test_videos_come_by_key_and_tracks_by_object(labelled: Any) -> None:
    chosen = select(open_objects(labelled.root), verdicts={"accept", "reject"})
    assert [video.video.ref.key for video in chosen.videos] == sorted(labelled.masks)
    assert [[t.object_id for t in video.tracks] for video in chosen.videos] == [[1], [3, 7], [0, 1]]
    assert [t.verdict for t in chosen.videos[2].tracks] == ["accept", "reject"]
    frames = list(masks_of(MaskReader(open_objects(labelled.root)), chosen.videos[1].tracks[1]))
    assert [frame.frame_idx for frame in frames] == [2, 3, 4, 5]
    assert [frame.visible for frame in frames] == [True, True, False, True]


def test_folders_are_one_level_and_say_the_key() -> None:
    keys = ["clips/day 1/a.mp4", "x.mp4", "x.mov", "X.MP4", ".mp4"]
    names = folder_names({str(i) * 16: key for i, key in enumerate(keys, start=1)})
    assert names["1" * 16] == "clips_day_1_a"
    assert names["2" * 16] == f"x-{'2' * 16}"
    assert names["4" * 16] == f"X-{'4' * 16}"
    assert names["5" * 16] == "video"


def test_a_key_that_looks_like_a_twin_s_name_stays_apart() -> None:
    names = folder_names({"1" * 16: "x.mp4", "2" * 16: "x.mov", "3" * 16: f"x-{'1' * 16}"})
    assert len(set(names.values())) == 3


@given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=8))
def test_no_two_videos_share_a_folder_and_none_leaves_it(keys: list[str]) -> None:
    names = folder_names({f"{i:016x}": key for i, key in enumerate(keys)})
    assert len({name.lower() for name in names.values()}) == len(keys)
    assert all(name and "/" not in name and name not in (".", "..") for name in names.values())
