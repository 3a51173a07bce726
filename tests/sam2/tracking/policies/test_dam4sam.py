"""What distractor-aware memory looks back at, promotes and keeps, by cases that were worked out by hand.

Entries are told apart by the number in their pointer.
"""

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch

from sam2.modeling.config import ModelConfig
from sam2.overrides import apply_overrides
from sam2.tracking.memory_bank import Appearance, FrameEntry, Vantage
from sam2.tracking.policies import dam4sam, look_back
from tests.sam2.clips import BOX, DAM4SAM, NANO, assert_equal_outputs, drawn_clip, predictor

CONFIG = apply_overrides(ModelConfig(), ["++model.memory_policy=dam4sam"])


def entry(frame_idx: int, *, visible: bool = True, promoted: bool = False) -> FrameEntry:
    pointer = torch.tensor([[float(frame_idx)]])
    return FrameEntry(None, None, pointer, torch.zeros(6), visible=visible, promoted=promoted)


def entries(*frames: int, unseen: tuple[int, ...] = (), promoted: tuple[int, ...] = ()) -> dict[int, FrameEntry]:
    return {t: entry(t, visible=t not in unseen, promoted=t in promoted) for t in frames}


def seen(conditioning: dict, others: dict, frame_idx: int, config: ModelConfig = CONFIG) -> tuple[list, list]:
    """Memories as (slot, frame), and frames that give pointers."""
    back = look_back(conditioning, others, Vantage(frame_idx, False, 400), config)
    return [(k, int(e.pointer_1C)) for k, e in back.memories], [int(e.pointer_1C) for _, e in back.pointers]


# prompted, tracked, invisible, promoted frames, the frame; and the memories that follow by hand
LOOKBACKS: Mapping[str, tuple] = {
    "one prompt, the previous frame and the grid": (
        (0,), range(1, 23), (), (), 23, [(0, 0), (2, 5), (3, 10), (4, 15), (5, 20), (6, 22)]),
    "the grid is below the newest, not on it": (
        (0,), range(1, 21), (), (), 21, [(0, 0), (3, 5), (4, 10), (5, 15), (6, 20)]),
    "no more than six recent": (
        (0,), range(1, 48), (), (), 48, [(0, 0), (1, 25), (2, 30), (3, 35), (4, 40), (5, 45), (6, 47)]),
    "an unseen frame of the grid gives way to the next": (
        (0,), range(1, 48), (40, 45), (), 48, [(0, 0), (1, 15), (2, 20), (3, 25), (4, 30), (5, 35), (6, 47)]),
    "an unseen previous frame gives way to the newest seen": (
        (0,), range(1, 23), (21, 22), (), 23, [(0, 0), (3, 5), (4, 10), (5, 15), (6, 20)]),
    "the start is on no grid": ((3,), range(0, 3), (), (), 4, [(0, 3), (6, 2)]),
    "a promoted frame takes a recent one's place": (
        (0,), range(1, 48), (), (12,), 48, [(0, 0), (0, 12), (2, 30), (3, 35), (4, 40), (5, 45), (6, 47)]),
    "at most three are promoted beside the prompt, the newest": (
        (0,), range(1, 48), (), (7, 13, 19, 26), 48, [(0, 0), (0, 26), (0, 19), (0, 13), (4, 40), (5, 45), (6, 47)]),
    "what is promoted is on no grid": (
        (0,), range(1, 23), (), (10, 20), 23, [(0, 0), (0, 20), (0, 10), (4, 5), (5, 15), (6, 22)]),
    "a promoted previous frame is recent memory": (
        (0,), range(1, 23), (), (22,), 23, [(0, 0), (2, 5), (3, 10), (4, 15), (5, 20), (6, 22)]),
    "a prompted previous frame is not": (
        (0, 22), range(1, 22), (), (), 23, [(0, 0), (0, 22), (2, 5), (3, 10), (4, 15), (5, 20), (6, 21)]),
    "prompts go before promoted frames": (
        (0, 9, 30), range(1, 30), (), (12, 21), 32, [(0, 0), (0, 9), (0, 30), (0, 21), (4, 20), (5, 25), (6, 29)]),
    "the nearest four prompts": (
        (0, 2, 4, 6, 8), range(9, 12), (), (), 12, [(0, 8), (0, 6), (0, 4), (0, 2), (5, 10), (6, 11)]),
}  # fmt: skip


@pytest.mark.parametrize("name", LOOKBACKS)
def test_what_a_frame_looks_back_at(name: str) -> None:
    prompted, tracked, unseen, promoted, frame_idx, expected = LOOKBACKS[name]
    others = entries(*(t for t in tracked if t not in prompted), unseen=unseen, promoted=promoted)
    assert seen(entries(*prompted), others, frame_idx)[0] == expected


def test_pointers_come_from_frames_where_the_object_was_seen() -> None:
    others = entries(*range(1, 30), unseen=(29, 20), promoted=(8, 22))
    assert seen(entries(0), others, 30)[1] == [0, 22, 8, 28, 27, 26, 25, 24, 23, 21, 19, 18, 17, 16, 15]
    back = look_back(entries(0, 35), others, Vantage(30, False, 400), CONFIG)
    assert [distance for distance, _ in back.pointers][:4] == [30, 8, 22, 2]


def test_reverse_is_forward_in_a_mirror() -> None:
    forward = seen(entries(0), entries(*range(1, 48), unseen=(40,), promoted=(7, 19)), 48)
    mirrored = entries(*(399 - t for t in range(1, 48)), unseen=(359,), promoted=(392, 380))
    back = look_back(entries(399), mirrored, Vantage(351, True, 400), CONFIG)
    assert [(slot, 399 - int(e.pointer_1C)) for slot, e in back.memories] == forward[0]
    assert [399 - int(e.pointer_1C) for _, e in back.pointers] == forward[1]


def promotes(
    iou: float = 0.9, distractor: float = 0.5, area: int = 100, areas: tuple = (100,) * 10, since: int | None = None,
    frame: int = 500, first: int | None = None, config: ModelConfig = CONFIG,
) -> bool:  # fmt: skip
    """Whether a frame with these scores is promoted, after frames with `areas`, the last of them just before."""
    scores_K = torch.tensor([iou, 5.0, float("nan"), 1.0, 0.1, distractor])
    start = frame - len(areas) if first is None else first
    before = Appearance(tuple((start + k, a) for k, a in enumerate(areas)), None if since is None else frame - since)
    tracked = replace(entry(frame), scores_K=scores_K, area=area)
    return dam4sam.settled(tracked, before, frame, config).promoted


PROMOTIONS: Mapping[str, tuple[dict, bool]] = {
    "another candidate reaches far outside": ({}, True),
    "barely far enough": ({"distractor": 0.6999}, True),
    "not far enough": ({"distractor": 0.7001}, False),
    "nothing to compare with": ({"distractor": float("nan")}, False),
    "just sure": ({"iou": 0.801}, True),
    "not sure": ({"iou": 0.799}, False),
    "as large as may be": ({"area": 120}, True),
    "too large": ({"area": 121}, False),
    "as small as may be": ({"area": 80}, True),
    "too small": ({"area": 79}, False),
    "empty": ({"area": 0}, False),
    "six frames after the last": ({"since": 6}, True),
    "five frames after the last": ({"since": 5}, False),
    "the ten last areas, this one among them, have a median of 120": ({"areas": (100,) * 5 + (140,) * 5}, True),
    "and here of 130: the eleventh last has no say": ({"areas": (100,) * 5 + (160,) * 5}, False),
    "an area of 299 frames ago counts": ({"areas": (300,), "first": 201}, False),
    "an area of 300 frames ago does not": ({"areas": (300,), "first": 200}, True),
    "one pixel is enough": ({"area": 1, "areas": (1,)}, True),
}


@pytest.mark.parametrize("name", PROMOTIONS)
def test_what_is_promoted(name: str) -> None:
    given, expected = PROMOTIONS[name]
    assert promotes(**given) is expected


@pytest.mark.parametrize(
    "mutation",
    [
        {"promotion_iou": 0.81}, {"promotion_iou": 0.79}, {"promotion_area_change": 0.21}, {"promotion_area_change": 0.19},
        {"promotion_pause": 4}, {"promotion_pause": 6}, {"promotion_box_iou": 0.71}, {"promotion_box_iou": 0.69},
        {"AREAS": 9}, {"AREAS": 11}, {"AREA_REACH": 299}, {"AREA_REACH": 301}, {"LEAST_AREA": 2},
    ],
)  # fmt: skip
def test_a_change_of_each_constant_shows(mutation: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    config = CONFIG
    for name, value in mutation.items():
        if name.isupper():
            monkeypatch.setattr(dam4sam, name, value)
        else:
            config = replace(CONFIG, **{name: value})
    assert any(promotes(**given, config=config) is not expected for given, expected in PROMOTIONS.values())


@pytest.mark.parametrize(
    "mutation",
    [
        {"memory_temporal_stride_for_eval": 4}, {"memory_temporal_stride_for_eval": 6}, {"max_cond_frames_in_attn": 3},
        {"max_cond_frames_in_attn": 5}, {"num_maskmem": 6},
    ],
)  # fmt: skip
def test_a_change_of_each_size_shows(mutation: dict) -> None:
    config = replace(CONFIG, **mutation)
    differing = 0
    for prompted, tracked, unseen, promoted, frame_idx, expected in LOOKBACKS.values():
        others = entries(*(t for t in tracked if t not in prompted), unseen=unseen, promoted=promoted)
        differing += seen(entries(*prompted), others, frame_idx, config)[0] != expected
    assert differing


def test_a_window_keeps_all_that_can_still_be_selected() -> None:
    """Whatever is seen and promoted: what a window of each frame keeps holds what later frames and a correction select."""
    for salt in range(6):
        unseen = tuple(t for t in range(60) if (t * t * 7 + salt * 5) % 11 < 4 or 20 <= t < 20 + 3 * salt)
        promoted = tuple(t for t in range(3 + salt, 60, 6 + salt) if t not in unseen)
        others: dict[int, FrameEntry] = {}
        for frame_idx in range(1, 60):
            whole = entries(*range(1, frame_idx), unseen=unseen, promoted=promoted)
            assert seen(entries(0), others, frame_idx)[0] == seen(entries(0), whole, frame_idx)[0]
            others |= entries(frame_idx, unseen=unseen, promoted=promoted)
            kept = dam4sam.kept_maps(others, Vantage(frame_idx, False, 400), CONFIG)
            assert {t for _, t in seen(entries(0), others, frame_idx)[0]} - {0} <= kept
            others = {t: e for t, e in others.items() if t in kept}
            assert len(others) <= 14


def test_the_policy_brings_what_it_is_published_with_and_overrides_go_before_it() -> None:
    assert (CONFIG.memory_temporal_stride_for_eval, CONFIG.max_cond_frames_in_attn, CONFIG.boxes_as_masks) == (5, 4, True)
    chosen = apply_overrides(ModelConfig(), ["++model.boxes_as_masks=false", "++model.memory_policy=dam4sam"])
    assert (chosen.policy, chosen.boxes_as_masks, chosen.pointers_of_visible_only) == ("dam4sam", False, True)
    with pytest.raises(ValueError, match="memory_policy='dam5': expected one of sam2, dam4sam"):
        apply_overrides(ModelConfig(), ["++model.memory_policy=dam5"])
    with pytest.raises(ValueError, match="expected one of the two"):
        apply_overrides(ModelConfig(), ["++model.memory_policy=dam4sam", "++model.samurai_mode=true"])


def test_frames_are_promoted_and_the_window_answers_as_all_of_memory() -> None:
    model, clip = predictor(DAM4SAM), drawn_clip(40)
    outputs = []
    for memory in ("all", "window"):
        state = model.init_state(clip, memory=memory)
        model.add_new_points_or_box(state, 0, 1, box=BOX)
        model.add_new_points_or_box(state, 0, 2, points=[[40, 20]], labels=[1])
        outputs.append(list(model.propagate(state)))
        promoted = [t for t, e in state.tracks[1].others.items() if e.promoted]
        assert len(promoted) >= 3
        assert all(later - earlier > 2 for earlier, later in zip(promoted, promoted[1:], strict=False))
    assert_equal_outputs(outputs[1], outputs[0])
    assert sum(e.memory_1Dhw is not None for e in state.tracks[1].others.values()) <= 14


def test_a_first_box_is_given_as_its_mask() -> None:
    model, clip = predictor(DAM4SAM), drawn_clip(8)
    boxed, masked = model.init_state(clip), model.init_state(clip)
    _, _, logits = model.add_new_points_or_box(boxed, 0, 1, box=BOX)
    plain = predictor(NANO)
    state = plain.init_state(clip)
    plain.add_new_points_or_box(state, 0, 1, box=BOX)
    side = plain.image_size
    drawn = torch.nn.functional.interpolate(state.tracks[1].pending[0].entry.mask_logits_11HW, (side, side), mode="bilinear")
    assert (logits.abs() == 10.0).any()
    torch.testing.assert_close(
        boxed.tracks[1].pending[0].entry.pointer_1C,
        _given(model, masked, (drawn > 0)[0, 0]).pointer_1C,
    )


def _given(model, state, mask_SS: torch.Tensor) -> FrameEntry:
    from sam2.tracking.conditioning import add_mask
    from sam2.tracking.track import ObjectTrack

    track = state.tracks.setdefault(1, ObjectTrack())
    with torch.inference_mode():
        add_mask(model, state, track, 0, mask_SS[None, None].float())
    return track.pending[0].entry
