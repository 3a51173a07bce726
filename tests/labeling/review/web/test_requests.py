"""Bodies at the edges: each is refused with what is wrong, in a moment, and costs nobody else anything."""

import json
import time
from typing import Any

import pytest

from labeling import rle
from labeling.review.queue import ReviewQueue
from labeling.types import RLE
from tests.labeling.review.web.served import Browser, refusal
from tests.labeling.store.made_store import SIZE_HW

HEIGHT, WIDTH = SIZE_HW
# What a slow machine may take under load; without limits these take minutes or memory.
SOON_S = 10.0
FULL = rle.from_runs([0, HEIGHT * WIDTH], SIZE_HW)


def mask(runs: RLE, **other: Any) -> dict[str, Any]:
    return {"frame_idx": 3, "mask": {"size": list(runs.size_hw), "counts": runs.counts, **other}}


CORRECTIONS = {
    "a million points": [{"frame_idx": 3, "points": [[1, 1, 1]] * 1_000_000}],
    "points in every correction": [{"frame_idx": 3, "points": [[1, 1, 1]] * 201}] * 100,
    "more corrections than frames": [{"frame_idx": 3, "points": [[1, 1, 1]]}] * 2_001,
    "twice on one frame": [{"frame_idx": 3, "points": [[1, 1, 1]]}] * 2,
    "a point past the frame": [{"frame_idx": 3, "points": [[1e300, 1, 1]]}],
    "a label of three": [{"frame_idx": 3, "points": [[1, 1, 3]]}],
    "a point of two numbers": [{"frame_idx": 3, "points": [[1, 1]]}],
    "a box beside the frame": [{"frame_idx": 3, "box": [WIDTH + 5, HEIGHT + 5, WIDTH + 9, HEIGHT + 9]}],
    "a box inside out": [{"frame_idx": 3, "box": [9, 9, 2, 2]}],
    "a box of words": [{"frame_idx": 3, "box": ["a", "b", "c", "d"]}],
    "a frame that was not tracked": [{"frame_idx": 99_999, "points": [[1, 1, 1]]}],
    "nothing at all": [{"frame_idx": 3}],
    "a span that ends before it begins": [{"frame_idx": 3, "points": [[1, 1, 1]], "span": [9, 2]}],
    "a mask of another size": [mask(rle.empty((HEIGHT + 1, WIDTH)))],
    "a mask of a square kilometre": [mask(FULL, size=[65_536, 65_536], counts="0")],
    "runs that are too few": [mask(FULL, counts="1")],
    "runs without an end": [mask(FULL, counts="o" * 1000)],
    "four million runs": [mask(FULL, counts="1" * (1 << 22))],
    "more runs than are taken": [mask(FULL, counts="1" * ((1 << 22) + 1))],
    "letters that are no runs": [mask(FULL, counts="\u00e9~")],
    "absent, and a mask": [{**mask(FULL), "absent": True}],
    "an unknown word": [{"frame_idx": 3, "points": [[1, 1, 1]], "colour": "red"}],
}


@pytest.mark.parametrize("name", CORRECTIONS)
def test_a_bad_correction_is_refused_at_once_and_the_item_stays_mine(browser: Browser, queue: ReviewQueue, name: str) -> None:
    token, item_id = browser.claim()
    body = json.dumps({"token": token, "action": "correct", "corrections": CORRECTIONS[name]}).encode()
    headers = {"X-CSRF-Token": browser.csrf, "Content-Type": "application/json"}
    begun = time.perf_counter()
    answer = browser.client.post(f"/api/items/{item_id}/decision", content=body, headers=headers)
    took_s = time.perf_counter() - begun
    assert answer.status_code in (400, 413), f"{name}: {answer.status_code} {answer.text[:200]}"
    assert refusal(answer, answer.status_code, "bad_request" if answer.status_code == 400 else "too_large")["message"]
    assert len(answer.content) < 4_000, "what was sent is not sent back"
    assert took_s < SOON_S
    assert list(queue.decisions_since()) == []
    assert browser.claim(item_id=item_id) == (token, item_id)


@pytest.mark.parametrize("text", [
    '{"token": "%s", "work": {"x": NaN}}', '{"token": "%s", "work": {"x": 1e999}}', '{"token": "%s", "work": {"x": "\\ud800"}}',
    '{"token": "%s", "work": [1]}', '{"token": "%s", "work": null}',
    '{"token": "%s", "work": ' + '{"a":' * 40 + "1" + "}" * 41,
    '{"token": "%s", "work": {"a": ' + "[" * 30_000 + "]" * 30_000 + "}}",
    '{"token": "%s", "work": {"a": ' + "9" * 20_000 + "}}", '{"token": ["%s"], "work": {}}', '["%s"]', '"%s"', "%s",
    '{"token": "%s", "work": {"a": "' + "x" * (300 * 1024) + '"}}',
    '{"token": "%s", "work": {"a": "' + "x" * (400 * 1024) + '"}}',
], ids=range(14))
def test_bad_work_in_hand_is_refused(browser: Browser, text: str) -> None:
    token, item_id = browser.claim()
    begun = time.perf_counter()
    headers = {"X-CSRF-Token": browser.csrf, "Content-Type": "application/json"}
    answer = browser.client.put(f"/api/items/{item_id}/draft", content=text.replace("%s", token), headers=headers)
    assert answer.status_code in (400, 413), answer.text[:300]
    assert json.loads(answer.text)["error"]["message"]
    assert time.perf_counter() - begun < SOON_S


@pytest.mark.parametrize("path", [
    "/api/items/0", "/api/items/-1", "/api/items/99999999999999999999", "/api/items/1e3", "/api/items/%00", "/api/items/999",
    "/api/items/1/frames/x.jpg", "/api/items/1/frames/99999999999.jpg", "/api/items/1/frames/-1.jpg",
    "/api/items/1/frames/24.jpg", "/api/items/1/frames/3.jpg?width=0", "/api/items/1/frames/3.jpg?width=nan",
    "/api/items/999/frames/0.jpg", "/api/items/1/masks?start=-1", "/api/items/1/masks?track=%F0%9F%92%A9" + "x" * 30,
    "/api/queue?offset=99999999999999999999", "/api/queue?limit=-5", "/api/queue?reason=%00", "/api/queue?status=%E2%80%AE",
    "/api/queue?category=" + "x" * 5_000,
])
def test_odd_questions_are_refused(browser: Browser, path: str) -> None:
    answer = browser.client.get(path)
    assert answer.status_code in (400, 404), f"{answer.status_code} {answer.text[:200]}"
    assert set(answer.json()["error"]) >= {"code", "message", "hint"}


def test_odd_filters_find_nothing_and_break_nothing(browser: Browser) -> None:
    for asked in ("' OR 1=1 --", "%_", "\u202e", "\U0001f4a9", "<b>", "\\", "a" * 1_000):
        assert browser.get("/api/queue", category=asked).json()["items"] == []
        assert browser.send("/api/claim", {"category": asked}).json() == {"lease": None}
