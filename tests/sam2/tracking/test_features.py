"""Out of memory, tracking goes on with less at once, says so, and answers the same."""

import logging
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from sam2.tracking.features import BatchLimit, in_batches, objects_at_once
from sam2.variants import find_config
from tests.sam2.clips import NANO, SAMURAI, assert_equal_outputs, drawn_clip, predictor, prompt_three

BATCHES = pytest.mark.parametrize("config", [NANO, SAMURAI])


def crowded(most: int, real: Callable[..., object], size: Callable[..., int]) -> Callable[..., object]:
    """A device that has room for `most` rows at once."""

    def work(*args: object, **kwargs: object) -> object:
        if size(*args, **kwargs) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(*args, **kwargs)

    return work


def test_a_portion_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="frames at once: 0"):
        BatchLimit("frames", 0)


def test_portions_are_halved_until_they_fit_and_stay_so() -> None:
    portion = BatchLimit("objects", 100)
    seen: list[slice] = []
    work = crowded(2, lambda rows: seen.append(rows) or rows.stop - rows.start, lambda rows: rows.stop - rows.start)
    assert in_batches(portion, 7, work, make_room=lambda: False) == [1] * 7
    assert portion.most == 1


def test_room_is_made_before_anything_is_halved() -> None:
    portion, relief = BatchLimit("objects", 100), iter([True, False])
    work = crowded(3, lambda rows: rows, lambda rows: rows.stop - rows.start)
    assert in_batches(portion, 6, work, make_room=lambda: next(relief)) == [slice(0, 3), slice(3, 6)]
    assert portion.most == 3


def test_a_processor_takes_what_fits_its_cache_and_a_gpu_takes_all() -> None:
    tiny = find_config("sam2.1_hiera_t")
    sides = {side: objects_at_once(replace(tiny, image_size=side), torch.device("cpu")) for side in (256, 512, 1024)}
    assert sides == {256: 4, 512: 2, 1024: 2}
    assert objects_at_once(tiny, torch.device("cuda")) == sys.maxsize


def test_what_does_not_fit_alone_is_told() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        in_batches(BatchLimit("frames", 4), 2, crowded(0, lambda rows: rows, lambda rows: 1), make_room=lambda: False)


@BATCHES
def test_frames_that_are_encoded_together_give_what_they_give_alone(config: str) -> None:
    clip, answers = drawn_clip(11), []
    for choices in ((), ("++model.encode_batch=4",)):
        model = predictor(config, *choices)
        state = model.init_state(clip)
        prompt_three(model, state)
        answers.append(list(model.propagate(state)))
    assert len(answers[1]) == 11
    assert_equal_outputs(answers[1], answers[0], 2e-3)


def test_frames_are_encoded_once_each_also_in_reverse(monkeypatch: pytest.MonkeyPatch) -> None:
    model, sizes = predictor(NANO, "++model.encode_batch=4"), []
    state = model.init_state(drawn_clip(11))
    prompt_three(model, state, 10)
    real = model.encode_image
    monkeypatch.setattr(model, "encode_image", lambda images: sizes.append(len(images)) or real(images))
    assert [out.frame_idx for out in model.propagate(state, reverse=True)] == list(range(10, -1, -1))
    assert sizes == [4, 4, 2]


def test_an_unreadable_frame_costs_none_before_it() -> None:
    model = predictor(NANO, "++model.encode_batch=4")
    frames = [*drawn_clip(4), "no frame"]
    state = model.init_state(frames)
    prompt_three(model, state)
    tracked = model.propagate(state)
    assert [next(tracked).frame_idx for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="frame 4"):
        next(tracked)


def test_a_device_short_of_memory_tracks_with_less_at_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clip, model = drawn_clip(7), predictor(NANO, "++model.encode_batch=4")
    wanted_state = model.init_state(clip)
    prompt_three(model, wanted_state)
    wanted = list(model.propagate(wanted_state))
    state = model.init_state(clip)
    prompt_three(model, state)
    model.propagate_in_video_preflight(state)
    state.storage_device = torch.device("meta")     # stands for a GPU: not the CPU
    monkeypatch.setattr(model, "encode_image", crowded(2, model.encode_image, len))
    monkeypatch.setattr(model, "condition_on_memory", crowded(2, model.condition_on_memory, lambda f, m, *a, **k: len(m[0])))
    with caplog.at_level(logging.WARNING, logger="sam2"):
        assert_equal_outputs(model.propagate(state), wanted, 2e-3)
    assert state.storage_device.type == "cpu"
    assert (state.frames_at_once.most, state.objects_at_once.most) == (2, 1)
    told = " ".join(caplog.messages)
    assert "memory bank moves to the CPU" in told
    assert "2 frames at once" in told
    assert "1 objects at once" in told
