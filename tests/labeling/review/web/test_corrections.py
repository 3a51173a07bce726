"""Clicks give a mask of the frame at once and a short span is tracked from corrections, by the real small network."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labeling import rle
from labeling.config import NetworkConfig, PrecisionConfig, TrackDirection, TrackerConfig
from labeling.errors import BadInput
from labeling.ingest.decode import FrameReader
from labeling.ingest.listing import ref_of
from labeling.objects import FolderObjects
from labeling.review.queue import ReviewQueue
from labeling.review.web.corrections import MAX_SPAN, Clicker, Network, window
from labeling.track.correction import click, take_frame
from labeling.track.predictor import Predictor, build_predictor, recipe_of
from labeling.types import RLE, Prompt, PromptSource, Video
from tests.fixtures_clips import drawn_frame, write_clip
from tests.labeling.review.samples import HandClock
from tests.labeling.review.web.served import NUM_FRAMES, Browser, refusal, services_of
from tests.labeling.store.made_store import SIZE_HW


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    model = NetworkConfig(allow_untrained=True)
    return build_predictor(recipe_of(model, PrecisionConfig(), TrackerConfig()), None, device="cpu")


@pytest.fixture
def armed(queue: ReviewQueue, objects: FolderObjects, tmp_path: Path, predictor: Predictor) -> Iterator[Browser]:
    """A browser on a server with the network."""
    services = services_of(queue, objects, tmp_path / "scratch", clicker=Clicker(lambda: Network(predictor)))
    yield Browser.of(services).sign_in()
    services.close()


def test_a_question_stands_alone(predictor: Predictor) -> None:
    rgb_HW3 = drawn_frame(3, (48, 64))
    frame = take_frame(predictor, rgb_HW3)
    first = click(predictor, frame, points_xy=[(10, 24)], labels=[1])
    boxed = click(predictor, frame, box_xyxy=(4, 18, 18, 30))
    again = click(predictor, frame, points_xy=[(10, 24)], labels=[1])
    assert first == again == click(predictor, take_frame(predictor, rgb_HW3), points_xy=[(10, 24)], labels=[1])
    assert first.mask.size_hw == boxed.mask.size_hw == (48, 64)
    assert np.isfinite([first.predicted_iou, first.object_score]).all()


def test_the_present_mask_is_part_of_the_question(predictor: Predictor) -> None:
    mask_HW = np.zeros((48, 64), bool)
    mask_HW[20:40, 30:60] = True
    frame = take_frame(predictor, drawn_frame(3, (48, 64)))
    bare = click(predictor, frame, points_xy=[(10, 24)], labels=[1])
    mended = click(predictor, frame, points_xy=[(10, 24)], labels=[1], mask=rle.encode(mask_HW))
    assert (bare.mask, bare.predicted_iou) != (mended.mask, mended.predicted_iou)
    assert click(predictor, frame, points_xy=[(10, 24)], labels=[1], mask=rle.empty((48, 64))) == bare


@pytest.mark.parametrize("asked", [
    {}, {"points_xy": [(65, 1)], "labels": [1]}, {"points_xy": [(1, 1)], "labels": [1, 0]}, {"box_xyxy": (70, 70, 80, 80)},
    {"points_xy": [(1, 1)], "labels": [1], "mask": rle.empty((24, 32))},
])
def test_a_bad_question_is_refused_and_forgotten(predictor: Predictor, asked: dict) -> None:
    frame = take_frame(predictor, drawn_frame(3, (48, 64)))
    with pytest.raises(BadInput):
        click(predictor, frame, **asked)
    assert click(predictor, frame, points_xy=[(10, 24)], labels=[1]).mask.size_hw == (48, 64)


def test_a_click_is_answered_with_a_mask(armed: Browser) -> None:
    token, item_id = armed.claim()
    path = f"/api/items/{item_id}/preview"
    reply = armed.send(path, {"token": token, "frame_idx": 6, "points": [[12, 8, 1]]}).json()
    mask = RLE(tuple(reply["mask"]["size"]), reply["mask"]["counts"])
    assert rle.decode(mask).shape == SIZE_HW
    assert set(reply) == {"mask", "predicted_iou", "object_score", "milliseconds"}
    body = {"token": token, "frame_idx": 6, "points": [[12, 8, 1], [2, 2, 0]], "box": [4, 4, 20, 20], "from_mask": False}
    assert armed.send(path, body).status_code == 200
    for wrong in ({"frame_idx": NUM_FRAMES, "points": [[1, 1, 1]]}, {"frame_idx": 6}, {"frame_idx": 6, "points": [[99, 1, 1]]}):
        refusal(armed.send(path, {"token": token, **wrong}), 400, "bad_request")


def test_a_click_needs_a_live_lease(armed: Browser, clock: HandClock) -> None:
    token, item_id = armed.claim()
    clock.pass_s(601)
    body = {"token": token, "frame_idx": 6, "points": [[12, 8, 1]]}
    refusal(armed.send(f"/api/items/{item_id}/preview", body), 409, "lost_lease")


def test_without_a_network_the_page_is_told_so(browser: Browser) -> None:
    token, item_id = browser.claim()
    body = {"token": token, "frame_idx": 6, "points": [[12, 8, 1]]}
    assert "model=" in refusal(browser.send(f"/api/items/{item_id}/preview", body), 503, "unavailable")["message"]


@pytest.mark.parametrize(("direction", "span", "expected"), [
    ("forward", None, range(4, NUM_FRAMES)), ("backward", None, range(5)), ("both", [2, 8], range(2, 8)),
])
def test_corrections_are_followed_and_nothing_is_kept(
    armed: Browser, queue: ReviewQueue, direction: str, span: list[int] | None, expected: range
) -> None:
    token, item_id = armed.claim()
    runs = rle.encode(np.pad(np.ones((8, 8), bool), ((4, 12), (10, 14))))
    correction = {"frame_idx": 4, "mask": {"size": list(runs.size_hw), "counts": runs.counts}}
    body = {"token": token, "corrections": [correction], "direction": direction, "span": span}
    reply = armed.send(f"/api/items/{item_id}/propagate", body).json()
    assert reply["complete"]
    assert sorted(map(int, reply["frames"])) == list(expected)
    assert reply["frames"]["4"]["mask"] == correction["mask"]
    assert (queue.get(item_id).status, list(queue.decisions_since())) == ("claimed", [])


def test_a_preview_is_short_and_holds_every_correction() -> None:
    frames = range(0, 1000, 2)
    asked = {"direction": TrackDirection.both, "span": None}
    assert window(frames, [500], **asked) == tuple(frames[250 - 59:250 - 59 + MAX_SPAN])
    assert window(frames, [990], **asked)[-1] == 998
    assert window(frames, [500, 510], direction=TrackDirection.forward, span=(400, 520)) == tuple(range(500, 520, 2))
    assert window(frames, [500], direction=TrackDirection.backward, span=None) == tuple(frames[250 - MAX_SPAN + 1:251])
    for corrected in ([501], [0, 998], [1000]):
        with pytest.raises(BadInput):
            window(frames, corrected, **asked)


def test_asking_again_gives_up_what_was_asked_before(predictor: Predictor, tmp_path: Path) -> None:
    video = Video(ref_of(str(write_clip(tmp_path / "a.mp4"))), (48, 64), Fraction(12), 24, 2.0, "h264")
    prompts = [Prompt(1, 0, box_xyxy=(4, 18, 18, 30), source=PromptSource.CORRECTION)]
    clicker, asked = Clicker(lambda: Network(predictor)), {"start": 0, "size_hw": (48, 64), "reviewer": "ada"}
    answers: list[tuple[int, bool]] = []

    class Asking(FrameReader):
        """Asks a second time while the first answer is being made."""

        def __getitem__(self, i: int) -> Any:
            if i == 5:
                clicker._newest_of("ada")
            return super().__getitem__(i)

    for reader in (Asking, FrameReader):
        with reader(tmp_path / "a.mp4", video, range(24)) as frames:
            masks, complete = clicker.track(frames, prompts, **asked)
            answers.append((len(masks), complete))
    assert answers[1] == (24, True)
    assert answers[0][0] < 24
    assert not answers[0][1]
