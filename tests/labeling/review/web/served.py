"""A small real store with its clips, and a browser's side of the review server."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from labeling.config import QCConfig, RuleConfig
from labeling.ingest.listing import ref_of
from labeling.ingest.prompts import PromptTable
from labeling.objects import FolderObjects
from labeling.review.accounts import Accounts
from labeling.review.queue import ReviewQueue
from labeling.review.web.app import create_app
from labeling.review.web.corrections import Clicker
from labeling.review.web.frames import FrameCache, Prefetcher
from labeling.review.web.services import PageQueue, ServerSettings, Services
from labeling.review.web.store_view import StoreView
from labeling.store.ledger import read_ledger
from labeling.store.plan import make_plan
from labeling.store.publish import publish
from labeling.store.snapshots import read_snapshot
from tests.fixtures_clips import write_clip
from tests.labeling.store.made_store import RECIPE, SIZE_HW, box_prompt, write_job

HERE = "http://127.0.0.1"
NUM_FRAMES, SEEN = 24, 12
STRICT = QCConfig("strict", [RuleConfig("visible_share", "object_lost", "at_least", 0.9, 0.1)])


def make_store(folder: Path) -> FolderObjects:
    """Two clips and a store where every object is lost half way: objects 1 and 10 of a.mp4, object 1 of b.mp4."""
    objects = FolderObjects(folder / "store")
    table = PromptTable({"a.mp4": (box_prompt(1, category="cat"), box_prompt(10)), "b.mp4": (box_prompt(1),)})
    clips = folder / "clips"
    clips.mkdir()
    refs = [ref_of(str(write_clip(clips / key, num_frames=NUM_FRAMES, size_hw=SIZE_HW))) for key in table.by_video]
    for job in make_plan(refs, table, read_ledger(objects), RECIPE, "run-1").jobs:
        write_job(objects, job, folder / "scratch", num_frames=NUM_FRAMES, lost_after=SEEN)
    publish(objects, STRICT, run_id="run-1")
    return objects


def fill(queue: ReviewQueue, objects: FolderObjects) -> None:
    """Open an item for each masklet of the store."""
    assert queue.open_from_snapshot(objects, read_snapshot(objects)).opened == 3


def services_of(
    queue: ReviewQueue, objects: FolderObjects, scratch: Path, *, clicker: Clicker | None = None,
    source_root: str | Path | None = None, **settings: Any,
) -> Services:
    """Put the server's parts together as the command does."""
    frames = FrameCache(scratch, source_root=None if source_root is None else str(source_root))
    return Services(
        queue=queue, page=PageQueue(queue), accounts=Accounts(queue), store=StoreView(objects), frames=frames,
        prefetcher=Prefetcher(frames), clicker=clicker or Clicker(None), settings=ServerSettings(**settings),
    )


@dataclass
class Browser:
    """One signed-in browser: requests carry the cookie and, where something changes, the CSRF token."""

    client: TestClient
    csrf: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, services: Services) -> "Browser":
        """A browser that nobody has signed in with."""
        return cls(TestClient(create_app(services), base_url=HERE))

    def sign_in(self, reviewer: str = "ada", token: str = "") -> "Browser":
        """Sign in and keep the token for writes."""
        answer = self.client.post("/api/login", json={"reviewer": reviewer, "token": token})
        assert answer.status_code == 200, answer.text
        self.csrf = answer.json()["csrf"]
        return self

    def get(self, path: str, **params: Any) -> Any:
        """Ask."""
        return self.client.get(path, params=params or None)

    def send(self, path: str, body: Mapping[str, Any], *, method: str = "POST") -> Any:
        """Change something."""
        return self.client.request(method, path, json=body, headers={"X-CSRF-Token": self.csrf})

    def claim(self, **asked: Any) -> tuple[str, int]:
        """Claim an item; its lease's token and its number."""
        answer = self.send("/api/claim", asked)
        assert answer.status_code == 200, answer.text
        return answer.json()["lease"]["token"], answer.json()["item"]["item_id"]


def refusal(answer: Any, status: int, code: str) -> dict[str, Any]:
    """Check that an answer is a refusal of the one shape; returns what it says."""
    assert answer.status_code == status, answer.text
    (name, error), = answer.json().items()
    assert name == "error"
    assert error["code"] == code
    assert error["message"]
    assert isinstance(error["hint"], str)
    return dict(error)
