"""Pieces with truth are written whole, read back as they were, and split by clip."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flows.quality.truth import has_piece, joined, read_truth, size_class, split_of, tracks_of, video_id_of, write_piece
from labeling.errors import BadConfiguration
from tests.flows.quality.made_truth import piece


def test_a_piece_is_read_back_as_it_was(tmp_path: Path) -> None:
    first, second = piece("a", [[1.0, 0.5], [0.1, 0.2]]), piece("b", [[0.9]])
    write_piece(tmp_path, "b", second)
    write_piece(tmp_path, "a", first)
    assert read_truth(tmp_path) == joined([first, second])
    assert has_piece(tmp_path, "a")
    assert not has_piece(tmp_path, "c")


def test_a_piece_that_is_there_stays(tmp_path: Path) -> None:
    write_piece(tmp_path, "a", piece("a", [[1.0]]))
    write_piece(tmp_path, "a", piece("a", [[0.0]]))
    assert tracks_of(read_truth(tmp_path))[0].mean_j == 1.0
    assert [path.name for path in (tmp_path / "pieces").iterdir()] == ["a"]


def test_a_column_that_came_later_is_null(tmp_path: Path) -> None:
    path = write_piece(tmp_path, "a", piece("a", [[1.0]])) / "masks.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["stability"]), path)
    assert read_truth(tmp_path).masks["stability"].to_pylist() == [None]


def test_no_pieces(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="holds no pieces; make some first"):
        read_truth(tmp_path)


def test_how_right_a_track_is() -> None:
    good, bad = tracks_of(piece("a", [[1.0, 0.5], [0.9, 0.5]]))
    assert (good.mean_j, good.bad, bad.mean_j, bad.bad) == (0.75, False, 0.7, True)


def test_pieces_of_one_clip_are_in_one_split() -> None:
    held = joined([piece(f"{n}-{tracker}", [[1.0]], clip=f"scene {n}") for n in range(60) for tracker in ("sam2", "samurai")])
    parts = [held.of_split(split) for split in ("fit", "held")]
    assert sum(len(part.tracks) for part in parts) == 120
    clips = [set(part.clips["clip"].to_pylist()) for part in parts]
    assert not clips[0] & clips[1]
    assert 10 <= len(clips[1]) <= 30
    assert split_of("scene 0") == split_of("scene 0")


def test_names() -> None:
    assert [size_class(share) for share in (0.0, 0.0099, 0.01, 0.2)] == ["small", "small", "medium", "large"]
    assert len(video_id_of("a")) == 16
