"""What a path looks back at, how keys weigh, and which branches live on, by cases that were worked out by hand."""

from dataclasses import replace

import pytest
import torch

from sam2.modeling.config import ModelConfig
from sam2.overrides import apply_overrides
from sam2.tracking.memory_bank import FrameEntry, Vantage
from sam2.tracking.policies import look_back, sam2long

CONFIG = apply_overrides(ModelConfig(), ["++model.memory_policy=sam2long"])
ABSENT = (7, 9)
POOR = (12, 14)


def entry(frame_idx: int) -> FrameEntry:
    iou, score = 0.05 if frame_idx in POOR else 0.7, -3.0 if frame_idx in ABSENT else frame_idx % 5 + 0.5
    scores_K = torch.tensor([iou, score, 0.0, 0.0, 0.0, 0.0])
    return FrameEntry(None, None, torch.tensor([[float(frame_idx)]]), scores_K, visible=frame_idx not in ABSENT)


def seen(frame_idx: int, config: ModelConfig = CONFIG) -> tuple[list, list]:
    others = {t: entry(t) for t in range(1, frame_idx)}
    back = look_back({0: entry(0)}, others, Vantage(frame_idx, False, 100), config)
    return [(slot, int(e.pointer_1C)) for slot, e in back.memories], [(d, int(e.pointer_1C)) for d, e in back.pointers]


def test_a_path_looks_back_at_the_newest_frames_that_were_seen_well() -> None:
    memories, pointers = seen(16)
    assert memories == [(0, 0), (1, 6), (2, 8), (3, 10), (4, 11), (5, 13), (6, 15)]
    assert pointers == [(16, 0), *((16 - t, t) for t in (15, 13, 11, 10, 8, 6, 5, 4, 3, 2, 1))]


def test_the_frame_just_behind_counts_whatever_it_is_and_fifteen_at_most() -> None:
    assert seen(15)[0][-2:] == [(5, 13), (6, 14)]
    assert seen(10)[0][-2:] == [(5, 8), (6, 9)]
    pointers = seen(40)[1]
    assert [t for _, t in pointers] == [0, *range(39, 24, -1)]
    assert seen(15, replace(CONFIG, pathway_iou=0.7))[0] == [(0, 0), (6, 14)]


def test_keys_weigh_by_the_rank_of_object_scores_and_the_prompt_ranks_first() -> None:
    others = {t: entry(t) for t in (1, 2, 3)}       # object scores 1.5, 2.5, 3.5
    back = look_back({0: entry(0)}, others, Vantage(4, False, 100), CONFIG)
    assert back.memory_scales == pytest.approx((1.05, 0.95, 0.95 + 0.1 / 3, 0.95 + 0.2 / 3))
    assert back.pointer_scales == pytest.approx((1.05, 0.95 + 0.2 / 3, 0.95 + 0.1 / 3, 0.95))
    assert look_back({0: entry(0)}, {}, Vantage(1, False, 100), CONFIG).memory_scales == (1.0,)


IOU = [[0.90, 0.50, 0.30], [0.901, 0.80, 0.10], [0.70, 0.60, 0.20]]


def kept(totals: list, scores: list, iou: list = IOU, config: ModelConfig = CONFIG) -> list[tuple[int, int]]:
    return [(path, candidate) for path, candidate, _ in sam2long.branches(totals, iou, scores, config)]


def test_a_certain_frame_keeps_the_best_sums() -> None:
    assert kept([0.0, 0.0, 0.0], [2.1, 0.5, 0.1]) == [(1, 0), (0, 0), (1, 1)]
    assert kept([0.0, 0.0, 0.0], [-2.1, 0.5, 0.1]) == [(1, 0), (0, 0), (1, 1)]
    # ln 0.9 - ln 0.7 = 0.25: a path that leads by more wins with the poorer candidate
    assert kept([0.0, 0.0, 0.5], [3.0, 3.0, 3.0]) == [(2, 0), (2, 1), (1, 0)]
    assert sam2long.branches([-1.0], [[0.5]], [5.0], CONFIG)[0][2] == pytest.approx(-1.0 - 0.693127, abs=1e-5)


def test_an_uncertain_frame_keeps_branches_that_differ() -> None:
    assert kept([0.0, 0.0, 0.0], [2.0, 0.5, 0.1]) == [(1, 0), (1, 1), (2, 0)]
    # absent and present differ, though the predicted IoU is the same
    assert kept([0.0, 0.0, 0.0], [-1.0, 0.5, 0.1]) == [(1, 0), (0, 0), (1, 1)]


def test_what_is_left_over_comes_from_unused_paths_first() -> None:
    alike = [[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]
    assert kept([0.3, 0.2, 0.1], [1.0, 1.0, 1.0], alike) == [(0, 0), (1, 0), (2, 0)]
    assert kept([0.3, 0.2], [1.0, 1.0], alike[:2]) == [(0, 0), (1, 0), (0, 1)]
    assert kept([0.0], [1.0], [[0.4]]) == [(0, 0)]


@pytest.mark.parametrize(
    "mutation",
    [
        {"pathways": 2}, {"pathways": 4}, {"pathway_certainty": 1.9}, {"pathway_certainty": 2.2}, {"DECIMALS": 3},
        {"LEAST_SHARE": 1e-2},
    ],
)  # fmt: skip
def test_a_change_of_each_constant_shows(mutation: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    config = CONFIG
    for name, value in mutation.items():
        if name.isupper():
            monkeypatch.setattr(sam2long, name, value)
        else:
            config = replace(CONFIG, **{name: value})
    none = [[0.001, 0.0, 0.0], [0.0005, 0.0, 0.0]]
    shown = (
        kept([0.0] * 3, [2.1, 0.5, 0.1], config=config) == [(1, 0), (0, 0), (1, 1)],
        kept([0.0] * 3, [2.0, 0.5, 0.1], config=config) == [(1, 0), (1, 1), (2, 0)],
        kept([0.0, 0.5], [3.0, 3.0], none, config)[0] == (0, 0),
    )
    assert not all(shown)
