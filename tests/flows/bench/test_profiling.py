"""A clock sees every stage and leaves the predictor and the module as they were."""

import numpy as np
import pytest
import torch

from flows.bench.clip import draw_bench_clip
from flows.bench.measure import prompted
from flows.bench.profiling import NETWORK, Clock, clocked
from labeling import rle
from sam2.build_sam import build_sam2_video_predictor


def test_stages_are_seen_and_the_predictor_is_left_as_it_was() -> None:
    predictor = build_sam2_video_predictor("sam2.1_nano", device="cpu", hydra_overrides_extra=["++model.image_size=64"])
    clip, clock, encode = draw_bench_clip(1, 3, size_hw=(48, 64)), Clock("cpu"), rle.encode
    with torch.inference_mode(), clocked(predictor, clock):
        for out in predictor.propagate(prompted(predictor, clip.frames, clip.boxes_xyxy)):
            rle.encode((out.mask_logits[0, 0] > 0).numpy())
    assert set(clock.seconds) == {*NETWORK.values(), "decode video", "RLE"}
    assert rle.encode is encode
    assert not {*NETWORK, "init_state"} & set(vars(predictor))


def test_everything_is_put_back_after_an_error() -> None:
    encode = rle.encode
    predictor = build_sam2_video_predictor("sam2.1_nano", device="cpu", hydra_overrides_extra=["++model.image_size=64"])
    with pytest.raises(RuntimeError, match="broken"), clocked(predictor, Clock("cpu")):
        raise RuntimeError("broken")
    assert rle.encode is encode
    assert "decode" not in vars(predictor)


def test_a_stage_adds_up_and_answers() -> None:
    clock = Clock("cpu")
    double = clock.wrapped(lambda x, *, more=0: 2 * x + more, "double")
    assert double(np.float32(2.0), more=1) == 5.0
    first = clock.seconds["double"]
    double(3)
    assert clock.seconds["double"] > first > 0
