"""One item in full: what the store has of it, its masks, and its frames, decoded to the right index."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labeling import rle
from labeling.objects import FolderObjects
from labeling.review.audits import Audits
from labeling.review.flow.opening import items_named
from labeling.review.gold import Gold, GoldTruth
from labeling.review.queue import ReviewQueue
from labeling.review.web.services import Services
from labeling.store.snapshots import read_snapshot
from labeling.types import RLE
from tests.labeling.review.web.served import NUM_FRAMES, SEEN, Browser, refusal, services_of
from tests.labeling.store.made_store import SIZE_HW, mask_of


@pytest.fixture
def cat(queue: ReviewQueue) -> int:
    """The number of the item about object 1 of a.mp4."""
    return queue.list(category="cat")[0].item_id


def test_an_item_has_all_that_a_decision_needs(browser: Browser, cat: int) -> None:
    reply = browser.get(f"/api/items/{cat}").json()
    assert (reply["item"]["item_id"], reply["item"]["category"], reply["item"]["video_key"]) == (cat, "cat", "a.mp4")
    video = reply["video"]
    assert (video["height"], video["width"], video["num_frames"]) == (*SIZE_HW, NUM_FRAMES)
    assert video["frames"] == list(range(NUM_FRAMES))
    assert video["pts_seconds"][6] == pytest.approx(6 / 29.97, abs=1e-6)
    assert reply["scores"]["predicted_iou"] == [0.9375] * NUM_FRAMES
    assert reply["scores"]["area"] == [64] * SEEN + [0] * (NUM_FRAMES - SEEN)
    assert reply["scores"]["motion_iou"] == [None] + [0.5] * (NUM_FRAMES - 1)
    assert reply["thresholds"] == {"predicted_iou": None, "object_score": -1.0}
    (flag,) = reply["flags"]
    assert (flag["reason"], flag["frame_start"], flag["frame_end"], flag["value"]) == ("object_lost", SEEN, NUM_FRAMES, 0.5)
    assert "visible share is 0.5, below the bound 0.9" in flag["explanation"].lower()
    assert flag["question"] == "Is the object still in the picture where the mask is empty?"
    assert reply["suspicious"] == [SEEN]
    # It is lost half way: the last frame that shows it, or one behind it, is worth most.
    assert SEEN - 1 <= reply["best"][0] < NUM_FRAMES
    assert len(reply["best"]) == len(set(reply["best"])) == 4
    assert (reply["corrections"], reply["notes"], reply["drafts"]) == ([], [], [])
    assert reply["consensus"] == {"wanted": 1, "have": 0}
    assert [event["kind"] for event in reply["history"]] == ["opened"]


def test_gold_shows_what_any_item_shows(browser: Browser, queue: ReviewQueue) -> None:
    gold, plain = (item.item_id for item in queue.list(limit=2))
    queue.decide(gold, "accept", reviewer="evelyn", note="fine")
    Gold(queue).add(gold, GoldTruth(True, {}, "accepted"))
    answers = [browser.get(f"/api/items/{item_id}") for item_id in (gold, plain)]
    assert all("gold" not in answer.text and "evelyn" not in answer.text for answer in answers)
    first, second = (answer.json() for answer in answers)
    assert first.keys() == second.keys()
    for reply in ("notes", "drafts", "consensus", "corrections"):
        assert first[reply] == second[reply]
    assert [event["kind"] for event in first["history"]] == ["opened"]
    assert first["item"]["status"] == "open"
    assert browser.get("/api/queue").json()["counts"]["open"] == 3
    token, item_id = browser.claim(item_id=gold)
    seq = browser.send(f"/api/items/{item_id}/decision", {"token": token, "action": "reject"}).json()["seq"]
    assert browser.get("/api/queue").json()["counts"] == {"open": 2, "claimed": 0, "decided": 1, "closed": 0}
    assert browser.send("/api/undo", {"seq": seq}).json()["item"]["status"] == "open"


def test_the_other_objects_come_with_where_they_are_seen(browser: Browser, cat: int) -> None:
    reply = browser.get(f"/api/items/{cat}").json()
    assert [(o["track_id"], o["category"], o["spans"], o["is_item"]) for o in reply["objects"]] == [
        ("1", "cat", [[0, SEEN]], True), ("10", None, [[0, SEEN]], False),
    ]
    prompt = {
        "frame_idx": 0, "box": [2, 2, 10, 10], "points": [], "mask": None, "source": "seed", "absent": False, "span": None,
    }
    assert reply["prompts"] == reply["objects"][0]["prompts"] == [prompt]


def test_masks_are_those_of_the_store(browser: Browser, cat: int) -> None:
    frames = browser.get(f"/api/items/{cat}/masks", start=10, end=14).json()["frames"]
    assert sorted(frames, key=int) == ["10", "11", "12", "13"]
    for frame_idx, runs in frames.items():
        expected = mask_of(1, int(frame_idx), empty=int(frame_idx) >= SEEN)
        assert RLE(tuple(runs["size"]), runs["counts"]) == expected.rle
    other = browser.get(f"/api/items/{cat}/masks", end=1, track="10").json()["frames"]["0"]
    assert rle.box_xywh(RLE(tuple(other["size"]), other["counts"])) == mask_of(10, 0).box_xywh
    assert len(browser.get(f"/api/items/{cat}/masks").json()["frames"]) == NUM_FRAMES
    refusal(browser.get(f"/api/items/{cat}/masks", track="99"), 404, "not_found")


@pytest.mark.parametrize("frame_idx", [0, 5, 23, 7, 22])
def test_a_frame_is_the_right_one(browser: Browser, cat: int, frame_idx: int) -> None:
    answer = browser.get(f"/api/items/{cat}/frames/{frame_idx}.jpg")
    assert answer.headers["content-type"] == "image/jpeg"
    picture = np.asarray(Image.open(io.BytesIO(answer.content)))
    assert picture.shape == (*SIZE_HW, 3)
    # The clip's ground is a grey that rises by 4 with each frame.
    assert abs(float(np.median(picture[:4])) - (16 + 4 * frame_idx)) < 2.5


def test_a_frame_that_is_there_already_is_not_sent_again(browser: Browser, cat: int) -> None:
    first = browser.get(f"/api/items/{cat}/frames/3.jpg")
    assert first.headers["cache-control"].startswith("private, max-age=")
    path, tag = f"/api/items/{cat}/frames/3.jpg", first.headers["etag"]
    again = browser.client.get(path, headers={"If-None-Match": tag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert browser.client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
    assert browser.get(path, width=16).headers["etag"] == tag


def test_what_is_not_there_is_not_found(browser: Browser, cat: int) -> None:
    for path in ("999", "999/masks", "999/frames/0.jpg", f"{cat}/frames/{NUM_FRAMES}.jpg", f"{cat}/frames/0.png"):
        refusal(browser.get(f"/api/items/{path}"), 404, "not_found")
    for path in ("0", "x", str(2**63), f"{cat}/frames/-1.jpg", f"{cat}/frames/x.jpg", f"{cat}/frames/0.jpg?width=1"):
        refusal(browser.get(f"/api/items/{path}"), 400, "bad_request")


def test_nobody_sees_anything_without_signing_in(services: Services, cat: int) -> None:
    stranger = Browser.of(services)
    for path in ("queue", "stats", f"items/{cat}", f"items/{cat}/masks", f"items/{cat}/frames/0.jpg"):
        refusal(stranger.get(f"/api/{path}"), 401, "unauthorized")


def test_a_video_that_is_gone_is_said_to_be_and_may_be_elsewhere(
    queue: ReviewQueue, objects: FolderObjects, tmp_path: Path, cat: int
) -> None:
    gone = services_of(queue, objects, tmp_path, source_root=str(tmp_path / "nowhere"))
    error = refusal(Browser.of(gone).sign_in().get(f"/api/items/{cat}/frames/4.jpg"), 503, "unavailable")
    assert "source.uri" in error["hint"]
    clips = shutil.copytree(Path(objects.root).parent / "clips", tmp_path / "elsewhere")
    moved = services_of(queue, objects, tmp_path, source_root=clips)
    assert Browser.of(moved).sign_in().get(f"/api/items/{cat}/frames/4.jpg").status_code == 200
    for services in (gone, moved):
        services.close()


def test_what_waits_for_a_verdict_alone_tells_nothing_of_how_it_was_judged(
    browser: Browser, queue: ReviewQueue, objects: FolderObjects
) -> None:
    cat = queue.list(category="cat")[0]
    beside = next(item for item in queue.list() if item.video_key == "a.mp4" and item.item_id != cat.item_id)
    drawn = items_named(objects, read_snapshot(objects), [cat.key])
    Audits(queue).open(drawn, draw="d000001", inclusion=0.5, mixed_in=0)
    listed = browser.get("/api/queue").json()
    (blind,) = [item for item in listed["items"] if item["blind"]]
    assert listed["items"][0] == blind
    assert (blind["item_id"], blind["risk"], blind["priority"], blind["reasons"]) == (cat.item_id, None, None, [])
    assert sum(listed["reasons"].values()) == 2
    token, item_id = browser.claim()
    assert item_id == cat.item_id
    answer = browser.get(f"/api/items/{item_id}")
    reply = answer.json()
    assert (reply["scores"], reply["thresholds"], reply["flags"], reply["suspicious"], reply["best"]) == ({}, {}, [], [], [])
    assert reply["history"] == []
    assert all(thing["flags"] == [] for thing in reply["objects"])
    for word in ("object_lost", "d000001", "audit", "visible share"):
        assert word not in answer.text, word
    assert len(browser.get(f"/api/items/{item_id}/masks").json()["frames"]) == NUM_FRAMES
    # Nor is it told by the other object of its video, which is in doubt as before.
    others = browser.get(f"/api/items/{beside.item_id}").json()
    flags = {thing["track_id"]: bool(thing["flags"]) for thing in others["objects"]}
    assert flags == {"1": False, "10": True}
    click = {"token": token, "frame_idx": 2, "points": [[5, 5, 1]]}
    refusal(browser.send(f"/api/items/{item_id}/preview", click), 409, "verdict_only")
    corrections = [{"frame_idx": 2, "points": [[5, 5, 1]]}]
    refusal(browser.send(f"/api/items/{item_id}/propagate", {"token": token, "corrections": corrections}), 409, "verdict_only")
    body = {"token": token, "action": "correct", "corrections": corrections}
    refusal(browser.send(f"/api/items/{item_id}/decision", body), 400, "bad_request")
    assert browser.send(f"/api/items/{item_id}/decision", {"token": token, "action": "reject"}).status_code == 200
    # Settled, it tells as little: a decision can be taken back.
    assert browser.get(f"/api/items/{item_id}").json()["flags"] == []
    assert Audits(queue).answers([cat.key])[cat.key].bad
