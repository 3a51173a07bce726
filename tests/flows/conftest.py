"""Runs of the whole pipeline: one Prefect server and one Ray for all of them, clips drawn by formula."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.configure import load_config
from labeling.config import LabelConfig
from tests.fixtures_clips import write_clip

FRAMES = 8
BOX = [10.0, 12.0, 40.0, 36.0]


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Prefect server and home of the session's own: results and caches do not leak from one session to the next."""
    home = tmp_path_factory.mktemp("prefect")
    before = os.environ.get("PREFECT_HOME")
    os.environ["PREFECT_HOME"] = str(home)
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield
    os.environ.pop("PREFECT_HOME")
    if before is not None:
        os.environ["PREFECT_HOME"] = before


@pytest.fixture(scope="session")
def ray_here() -> Iterator[None]:
    """Ray with 2 CPUs, started once for all runs that happen in this process."""
    from labeling.config import ClusterConfig
    from labeling.pool.cluster import open_cluster

    with open_cluster(ClusterConfig()):
        yield


def prompt_row(video: str, object_id: int, **changed: Any) -> dict[str, Any]:
    """A row of a prompt table: a box on the first frame."""
    return {"video": video, "object_id": object_id, "frame_idx": 0, "box_xyxy": BOX, "category": "thing", **changed}


class Dataset:
    """A folder of clips with a prompt table, and the store that labels go to."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clips, self.root = folder, folder / "clips", folder / "store"
        self.prompts = folder / "prompts.jsonl"
        self.rows: list[dict[str, Any]] = []
        self.clips.mkdir(parents=True)

    def add(self, name: str, *object_ids: int, num_frames: int = FRAMES) -> Path:
        """Draw a clip and prompt its objects."""
        path = write_clip(self.clips / name, num_frames=num_frames)
        self.rows += [prompt_row(name, object_id) for object_id in object_ids]
        return path

    def overrides(self, *more: str) -> list[str]:
        """What a user would type for this dataset, the prompt table as it is now."""
        self.prompts.write_text("".join(json.dumps(row) + "\n" for row in self.rows))
        return [
            f"source.uri={self.clips}", f"prompts.uri={self.prompts}", f"store.root={self.root}",
            f"run.scratch={self.folder / 'scratch'}", "model=nano", "model.allow_untrained=true", "model.image_size=64",
            "run.progress=false", "run.previews=1", "cluster.actors=1", *more,
        ]

    def config(self, *more: str) -> LabelConfig:
        """The same as a configuration."""
        return load_config(self.overrides(*more))


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """An empty dataset below tmp_path."""
    return Dataset(tmp_path / "data")


@pytest.fixture
def make_dataset(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Dataset]:
    """Makes empty datasets."""
    return lambda: Dataset(tmp_path_factory.mktemp("dataset") / "data")
