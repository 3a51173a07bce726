"""Small pieces with truth for tests: rows of the right columns, without a network."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from flows.quality.truth import SCHEMAS, Truth, split_of, video_id_of
from labeling import rle

BLANKS = {pa.string(): "", pa.bool_(): False, pa.int64(): 0, pa.int32(): 0, pa.float64(): 0.0, pa.float32(): 0.0}

MASK = {"height": 4, "width": 4, "rle": rle.from_runs([0, 9, 7], (4, 4)).counts, "area": 9, "visible": True}


def row(table: str, **given: Any) -> dict[str, Any]:
    """Return a row of a table: what is given, nulls where they may be, and zeros elsewhere."""
    unknown = set(given) - set(SCHEMAS[table].names)
    assert not unknown, unknown
    return {f.name: given.get(f.name, None if f.nullable else BLANKS[f.type]) for f in SCHEMAS[table]}


def piece(name: str, tracks: Sequence[Sequence[float]], *, clip: str = "", variant: str = "plain", **signals: float) -> Truth:
    """Return a piece whose tracks have these J on their frames; every frame shows the object and a mask."""
    video_id, clip = video_id_of(name), clip or name
    rows: dict[str, list[dict[str, Any]]] = {table: [] for table in SCHEMAS}
    for number, j_T in enumerate(tracks):
        ids = {"video_id": video_id, "track_id": str(number)}
        for frame_idx, j in enumerate(j_T):
            rows["masks"].append(row("masks", **ids, frame_idx=frame_idx, **MASK, predicted_iou=j))
            rows["truth"].append(row("truth", **ids, frame_idx=frame_idx, j=j, truth_visible=True, mask_visible=True))
        rows["tracks"].append(row("tracks", **ids, object_id=number, signal_spans="{}", **signals))
        about = {"generator": "scenes", "prompt": "box", "tracker": "sam2", "image_size": 384, "size_class": "medium"}
        rows["clips"].append(row(
            "clips", **ids, **about, clip=clip, variant=variant, num_frames=len(j_T), split=split_of(clip)
        ))
    return Truth(**{table: pa.Table.from_pylist(rows[table], schema=schema) for table, schema in SCHEMAS.items()})
