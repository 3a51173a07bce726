"""What is written down comes back as it was."""

import dataclasses
from pathlib import Path

import pytest

from labeling.errors import DamagedStore
from labeling.objects import open_objects
from labeling.store.records import (
    TrackRow,
    flags_to_cells,
    prompts_from_json,
    prompts_to_json,
    track_to_row,
    verdict_from_row,
    video_from_row,
    video_to_row,
)
from labeling.store.schemas import FLAG, MASKS, TRACKS, VIDEOS
from labeling.types import RLE, Decision, Prompt, PromptSource, QCFlag, Signals
from tests.labeling.store.made_store import box_prompt, provenance_of, ref_of, video_of


def test_prompts_of_every_kind() -> None:
    prompts = (
        Prompt(-5, 3, points_xy=((1.5, 2.0), (3.0, 4.0)), labels=(1, 0), category="a \u00fc"),
        Prompt(2**62, 0, box_xyxy=(0.0, 0.0, 1.25, 2.0)),
        Prompt(1, 9, mask=RLE((4, 6), "b23")),
        Prompt(
            1, 9, points_xy=((1.0, 1.0),), labels=(1,), box_xyxy=(0.0, 0.0, 1.0, 1.0), mask=RLE((4, 6), "b23"),
            source=PromptSource.CORRECTION,
        ),
    )
    assert prompts_from_json(prompts_to_json(prompts)) == prompts


def test_a_video_keeps_its_frame_rate_as_a_fraction() -> None:
    video = dataclasses.replace(video_of(ref_of("a/b.mp4")), rotation_degrees=90)
    row = video_to_row(video, batch="0" * 16, run_id="r", created_at="now")
    assert set(row) == set(VIDEOS.names)
    assert video_from_row(row) == video


def test_a_verdict_keeps_its_flags_in_order() -> None:
    flags = (
        QCFlag("swap", "innovation_max", 2.0, 1.0, (3, 6), Decision.REVIEW),
        QCFlag("too_small", "area_median", 2.0, 4.0, (0, 9), Decision.REJECT),
    )
    cells = flags_to_cells(flags)
    assert all(set(cell) == {FLAG.field(i).name for i in range(FLAG.num_fields)} for cell in cells)
    row = {"video_id": "v", "track_id": "1", "label_version": 2, "verdict": "reject", "risk": 0.9, "flags": cells}
    read = verdict_from_row(row)
    assert (read.decision, read.flags, read.label_version) == (Decision.REJECT, flags, 2)


def test_a_signal_without_a_column_is_refused() -> None:
    track = TrackRow(1, 1, "k", None, (box_prompt(1),), Signals({"no_such_signal": 1.0}), provenance_of("r"))
    with pytest.raises(ValueError, match="no_such_signal"):
        track_to_row(track)


def test_a_track_with_another_object_s_prompt_is_refused() -> None:
    with pytest.raises(ValueError, match="object 1"):
        TrackRow(1, 1, "k", None, (box_prompt(2),), Signals({}), provenance_of("r"))


def test_the_columns_that_the_layout_promises() -> None:
    promised = (
        "video_id track_id frame_idx pts_seconds height width rle area box_xywh predicted_iou object_score motion_iou "
        "stability candidate_gap pointer_similarity visible source label_version key "
        "look_seed look_ring look_other colour_seed colour_ring colour_other edge_gradient distractor agreement"
    )
    assert MASKS.names == promised.split()
    assert not {"category", "prompts", "checkpoint_sha256", "predicted_iou_softmin"} - set(TRACKS.names)


def test_a_newer_file_says_which_version_reads_it(tmp_path: Path) -> None:
    from labeling.store.parquet import open_writer, read
    from labeling.store.schemas import VERSION_KEY, WRITER_KEY, NewerStore

    stamp = {VERSION_KEY: b"99", WRITER_KEY: b"samurai-labeling 7.8.9"}
    with open_writer(tmp_path / "new.parquet", VIDEOS.with_metadata(stamp)) as writer:
        writer.write_table(VIDEOS.with_metadata(stamp).empty_table())
    with pytest.raises(NewerStore, match=r"storage version 99.*Install samurai-labeling 7\.8\.9"):
        read(open_objects(str(tmp_path)), "new.parquet", VIDEOS)


def test_a_stranger_s_file_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from labeling.store.parquet import read

    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    (tmp_path / "text.parquet").write_text("no")
    objects = open_objects(str(tmp_path))
    with pytest.raises(DamagedStore, match=r"other.parquet is damaged .*no storage version"):
        read(objects, "other.parquet", VIDEOS)
    with pytest.raises(DamagedStore, match=r"text.parquet is damaged"):
        read(objects, "text.parquet", VIDEOS)


def test_a_column_that_an_older_file_lacks_is_null_and_one_that_went_is_dropped() -> None:
    from labeling.store.parquet import conform

    row = dict.fromkeys(TRACKS.names) | {"video_id": "v", "predicted_iou_softmin": 0.5}
    import pyarrow as pa

    table = pa.Table.from_pylist([row], schema=pa.schema([f.with_nullable(True) for f in TRACKS]))
    older = table.drop_columns(["frozen"]).append_column("gone", pa.array([1]))
    read = conform(older, TRACKS)
    assert read.schema.names == TRACKS.names
    assert read["frozen"].to_pylist() == [None]
    assert read["predicted_iou_softmin"].to_pylist() == [0.5]
