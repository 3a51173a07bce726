"""Which entries a frame looks back at; entries are told apart by the number in their pointer."""

from dataclasses import replace

import pytest
import torch

from sam2.modeling.config import ModelConfig
from sam2.tracking.memory_bank import FrameEntry, Vantage, closest_conditioning
from sam2.tracking.policies import look_back

SAM2 = ModelConfig()
SAMURAI = replace(SAM2, samurai_mode=True)


def entry(frame_idx: int, *, selectable: bool = True) -> FrameEntry:
    return FrameEntry(None, None, torch.tensor([[float(frame_idx)]]), torch.zeros(6), selectable=selectable)


def entries(*frames: int, poor: tuple[int, ...] = ()) -> dict[int, FrameEntry]:
    return {t: entry(t, selectable=t not in poor) for t in frames}


def seen(config: ModelConfig, conditioning: dict, others: dict, vantage: Vantage) -> tuple[list, list]:
    """Memories and pointers as (slot or offset, frame)."""
    back = look_back(conditioning, others, vantage, config)
    frame_of = lambda kept: int(kept.pointer_1C)  # noqa: E731
    return [(k, frame_of(e)) for k, e in back.memories], [(k, frame_of(e)) for k, e in back.pointers]


def at(frame_idx: int, reverse: bool = False, num_frames: int | None = 40) -> Vantage:
    return Vantage(frame_idx, reverse, num_frames)


def test_sam2_takes_the_prompts_and_the_six_frames_before() -> None:
    memories, pointers = seen(SAM2, entries(0), entries(*range(1, 20)), at(20))
    assert memories == [(0, 0), (1, 14), (2, 15), (3, 16), (4, 17), (5, 18), (6, 19)]
    assert pointers == [(20, 0), *((d, 20 - d) for d in range(1, 16))]


def test_a_gap_leaves_its_slot_empty() -> None:
    memories, _ = seen(SAM2, entries(0), entries(14, 17, 19), at(20))
    assert memories == [(0, 0), (1, 14), (4, 17), (6, 19)]


def test_later_prompts_are_remembered_but_give_no_pointer() -> None:
    memories, pointers = seen(SAM2, entries(2, 30), entries(9), at(10))
    assert memories == [(0, 2), (0, 30), (6, 9)]
    assert pointers == [(8, 2), (1, 9)]
    unbound = replace(SAM2, only_obj_ptrs_in_the_past_for_eval=False, use_signed_tpos_enc_to_obj_ptrs=False)
    assert seen(unbound, entries(2, 30), entries(9), at(10))[1] == [(8, 2), (20, 30), (1, 9)]


def test_short_videos_have_fewer_pointers_and_a_scale_of_their_own() -> None:
    back = look_back(entries(0), entries(*range(1, 7)), at(7, num_frames=8), SAM2)
    assert len(back.pointers) == 1 + 6
    assert back.max_pointer_offset == 7
    assert look_back(entries(0), {}, at(1, num_frames=None), SAM2).max_pointer_offset == 15
    assert look_back(entries(0), {}, at(0, num_frames=1), SAM2).max_pointer_offset == 1


def test_with_a_limit_the_nearest_prompts_count_and_spare_ones_are_ordinary_frames() -> None:
    limited = replace(SAM2, max_cond_frames_in_attn=2)
    memories, pointers = seen(limited, entries(0, 8, 18, 25), entries(19), at(20))
    assert memories == [(0, 18), (0, 25), (6, 19)]
    memories, _ = seen(limited, entries(0, 16, 18, 25), entries(19), at(20))
    assert memories == [(0, 18), (0, 25), (3, 16), (6, 19)]
    assert pointers[0] == (2, 18)


@pytest.mark.parametrize(
    ("frames", "most", "expected"),
    [
        ([0, 5, 9, 20], -1, [0, 5, 9, 20]),
        ([0, 5, 9, 20], 4, [0, 5, 9, 20]),
        ([0, 5, 9, 20], 3, [9, 20, 5]),
        ([0, 5, 9], 2, [9, 5]),
        ([12, 15, 30], 2, [12, 15]),
        ([0, 10, 20], 2, [0, 10]),
    ],
)
def test_closest_conditioning(frames: list[int], most: int, expected: list[int]) -> None:
    assert list(closest_conditioning(entries(*frames), 10, most)) == expected


def test_a_stride_spreads_the_memories() -> None:
    strided = replace(SAM2, memory_temporal_stride_for_eval=3)
    memories, _ = seen(strided, entries(0), entries(*range(1, 20)), at(20))
    assert memories == [(0, 0), (1, 6), (2, 9), (3, 12), (4, 15), (5, 18), (6, 19)]
    memories, _ = seen(strided, entries(39), entries(*range(20, 39)), at(19, reverse=True))
    assert memories == [(0, 39), (1, 33), (2, 30), (3, 27), (4, 24), (5, 21), (6, 20)]


def test_samurai_takes_the_newest_selectable_frames_by_rank() -> None:
    memories, pointers = seen(SAMURAI, entries(0), entries(*range(1, 20), poor=(15, 17, 18)), at(20))
    assert memories == [(0, 0), (1, 11), (2, 12), (3, 13), (4, 14), (5, 16), (6, 19)]
    assert pointers == [(20, 0), *((d, 20 - d) for d in range(1, 16))]


def test_samurai_always_takes_the_frame_just_behind() -> None:
    memories, _ = seen(SAMURAI, entries(0), entries(*range(1, 20), poor=(19,)), at(20))
    assert memories[1:] == [(1, 14), (2, 15), (3, 16), (4, 17), (5, 18), (6, 19)]
    memories, _ = seen(SAMURAI, entries(0), entries(*range(1, 20), poor=tuple(range(1, 20))), at(20))
    assert memories == [(0, 0), (6, 19)]


def test_samurai_never_ranks_the_first_two_frames() -> None:
    memories, _ = seen(SAMURAI, entries(0), entries(1), at(2))
    assert memories == [(0, 0), (6, 1)]
    memories, _ = seen(SAMURAI, entries(0), entries(1, 2), at(3))
    assert memories == [(0, 0), (6, 2)]


def test_samurai_gives_the_nearest_the_high_slots_while_there_are_few() -> None:
    memories, _ = seen(SAMURAI, entries(0), entries(1, 2, 3, 4), at(5))
    assert memories == [(0, 0), (4, 2), (5, 3), (6, 4)]


def test_samurai_passes_over_prompts_and_gaps() -> None:
    memories, _ = seen(SAMURAI, entries(0, 5), entries(2, 3, 7, 8), at(9))
    assert memories == [(0, 0), (0, 5), (3, 2), (4, 3), (5, 7), (6, 8)]
    memories, _ = seen(SAMURAI, entries(0, 8), entries(2, 3, 7), at(9))
    assert memories == [(0, 0), (0, 8), (3, 2), (4, 3), (5, 7)]


@pytest.mark.parametrize("config", [SAM2, SAMURAI, replace(SAM2, memory_temporal_stride_for_eval=2)])
@pytest.mark.parametrize("frame_idx", [1, 2, 3, 8, 25])
def test_reverse_is_forward_in_a_mirror(config: ModelConfig, frame_idx: int) -> None:
    # an odd length keeps the strided slots of both directions on the same frames
    last = 40
    conditioning, others = [0, 4, 31], [t for t in range(1, 30) if t not in (4, 11)]
    forward = seen(config, entries(*conditioning), entries(*others, poor=(7, 23)), at(frame_idx, num_frames=41))
    backward = seen(
        config,
        {last - t: entry(last - t) for t in conditioning},
        {last - t: entry(last - t, selectable=t not in (7, 23)) for t in others},
        at(last - frame_idx, reverse=True, num_frames=41),
    )
    mirrored = tuple([(slot, last - t) for slot, t in part] for part in backward)
    assert mirrored == forward
