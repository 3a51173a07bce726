"""A published store whose masklets have risks and truths that a test gives."""

import atexit
import shutil
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pyarrow as pa
import pytest

from labeling.config import QCConfig
from labeling.objects import FolderObjects, Objects
from labeling.store.commit import commit
from labeling.store.contents import Contents
from labeling.store.publish import publish
from labeling.store.snapshots import Snapshot, read_contents, read_snapshot
from tests.labeling.store.made_store import box_prompt, label

PER_VIDEO = 5


def published(objects: Objects, scratch: Path, num_videos: int, *, run_id: str = "run", first: int = 0) -> Snapshot:
    """Label videos of five rectangles each and publish them."""
    videos = {f"{i}.mp4": tuple(box_prompt(o) for o in range(PER_VIDEO)) for i in range(first, first + num_videos)}
    label(objects, scratch, videos, run_id=run_id, num_frames=2)
    return publish(objects, QCConfig("made"), run_id=run_id)


@cache
def _template(num_videos: int) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="certify-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    published(FolderObjects(folder / "store"), folder, num_videos)
    return folder / "store"


def made_already(objects: Objects, num_videos: int) -> Snapshot:
    """Fill an empty store with what `published` makes, which is made once for all tests."""
    shutil.copytree(_template(num_videos), objects.root, dirs_exist_ok=True)
    return read_snapshot(objects)


def with_verdicts(
    objects: Objects, before: Snapshot, risks: Sequence[float], *, accept: float = 1.0, **qc: object
) -> Snapshot:
    """Commit the snapshot after `before` with these risks; what is at most `accept` is accepted, the rest waits."""
    contents = read_contents(objects, before)
    verdicts = contents.verdicts
    columns = {"risk": list(risks), "verdict": ["accept" if risk <= accept else "review" for risk in risks]}
    for name, values in columns.items():
        field = verdicts.schema.field(name)
        verdicts = verdicts.set_column(verdicts.schema.get_field_index(name), field, pa.array(values, field.type))
    after = Contents(contents.ledger, contents.files, contents.tracks, contents.videos, verdicts)
    made = commit(objects, before, after, dict(before.qc) | qc, run_id="judged")
    assert made is not None
    return made


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    """An empty store in a folder."""
    return FolderObjects(tmp_path / "store")
