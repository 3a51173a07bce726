"""Training sees what tracking sees: the unrolled network answers as the video predictor does, frame by frame."""

import pytest
import torch
from torch import Generator, Tensor

from sam2.build_sam import build_sam2_video_predictor
from sam2.modeling.sam2_base import SAM2Base
from sam2.sam2_video_predictor import SAM2VideoPredictor
from sam2.training.batches import Batch
from sam2.training.clicks import Clicks, boxes, corrective_clicks, first_clicks
from sam2.training.unroll import Answer, answer_clips, answer_stills
from sam2.training.unroll import _chosen as chosen
from tests.reference.formula import formula_weights
from tests.sam2.clips import LOUD

CLIPS, OBJECTS, FRAMES, SIDE = 2, 2, 6, 64
CORRECTED = 3


@pytest.fixture(scope="module")
def predictor() -> SAM2VideoPredictor:
    """Formula weights, those that memory depends on made louder, so that what is looked back at shows in the answer."""
    made = build_sam2_video_predictor(
        "sam2.1_nano", device="cpu", apply_postprocessing=False, hydra_overrides_extra=[f"++model.image_size={SIDE}"]
    )
    weights = formula_weights(made.state_dict())
    made.load_state_dict({name: value * LOUD.get(name, 1.0) for name, value in weights.items()})
    return made.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def batch() -> Batch:
    """Textured frames, and squares that drift to the right, each object on its own line."""
    random = Generator().manual_seed(5)
    frames = torch.randint(0, 256, (CLIPS, FRAMES, SIDE, SIDE, 3), generator=random, dtype=torch.uint8)
    masks = torch.zeros(CLIPS, OBJECTS, FRAMES, SIDE, SIDE, dtype=torch.bool)
    for clip in range(CLIPS):
        for k in range(OBJECTS):
            for t in range(FRAMES):
                top, left = 6 + 28 * k, 4 + 10 * clip + 3 * t
                masks[clip, k, t, top : top + 20, left : left + 18 + 4 * k] = True
                frames[clip, t][masks[clip, k, t]] //= 3 - k
    return Batch(frames, masks)


def followed(
    predictor: SAM2VideoPredictor, batch: Batch, clip: int, kind: str, clicks: Clicks, correction: Clicks | None
) -> dict[int, Tensor]:
    """Return low-resolution logits (O, 1, H, W) by frame of one clip whose length the predictor does not know."""
    state = predictor.init_state(iter(batch.frames_VTSS3[clip].numpy()))
    rows = range(clip * OBJECTS, (clip + 1) * OBJECTS)
    for k, row in enumerate(rows):
        points = clicks[0][row]
        if kind == "mask":
            predictor.add_new_mask(state, 0, k, batch.masks_VOTSS[clip, k, 0])
        elif kind == "box":
            predictor.add_new_points_or_box(state, 0, k, box=points.flatten().numpy())
        else:
            predictor.add_new_points_or_box(state, 0, k, points=points.numpy(), labels=clicks[1][row].numpy())
    until = None if correction is None else CORRECTED
    said = {out.frame_idx: out.low_res_logits for out in predictor.propagate(state, 0, until)}
    if correction is not None:
        for k, row in enumerate(rows):
            predictor.add_new_points_or_box(
                state, CORRECTED, k, points=correction[0][row].numpy(), labels=correction[1][row].numpy()
            )
        said |= {out.frame_idx: out.low_res_logits for out in predictor.propagate(state, CORRECTED)}
    return said


def last_masks(network: SAM2Base, answers: list[Answer]) -> dict[int, Tensor]:
    """Return by frame what is kept of its last answer: logits (B, 1, H, W) of the best candidate."""
    return {
        answer.frame: network.mask_absent(chosen(answer.decoded)[0], answer.decoded.object_score_logits_B1)
        for answer in answers
    }


@pytest.mark.parametrize("kind", ["box", "click", "mask"])
@pytest.mark.parametrize("corrected", [False, True])
def test_an_unrolled_clip_is_a_tracked_one(
    predictor: SAM2VideoPredictor, batch: Batch, kind: str, corrected: bool
) -> None:
    frames = frozenset({CORRECTED} if corrected else ())
    answers = answer_clips(predictor, batch, Generator().manual_seed(3), kind=kind, corrected=frames)
    random = Generator().manual_seed(3)     # the same again, so that the same prompts are drawn
    draw = {"box": boxes, "click": first_clicks, "mask": lambda truth, _: (truth[:, :2, :2].float(), truth[:, 0])}[kind]
    clicks = draw(batch.truth(0), random)
    correction = None
    if corrected:
        before = next(chosen(a.decoded)[0] for a in answers if a.frame == CORRECTED)
        found = torch.nn.functional.interpolate(before, (SIDE, SIDE), mode="bilinear", align_corners=False)[:, 0] > 0
        correction = corrective_clicks(batch.truth(CORRECTED), found, random)
    unrolled = last_masks(predictor, answers)
    assert set(unrolled) == set(range(1 if kind == "mask" else 0, FRAMES))
    for clip in range(CLIPS):
        said = followed(predictor, batch, clip, kind, clicks, correction)
        for frame, logits in unrolled.items():
            torch.testing.assert_close(logits[clip * OBJECTS : (clip + 1) * OBJECTS], said[frame], atol=1e-3, rtol=0)


def test_later_frames_depend_on_the_prompt(predictor: SAM2VideoPredictor, batch: Batch) -> None:
    """Else the test above would compare pictures alone."""
    by_kind = [
        last_masks(predictor, answer_clips(predictor, batch, Generator().manual_seed(3), kind=kind, corrected=frozenset()))
        for kind in ("box", "mask")
    ]
    assert (by_kind[0][FRAMES - 1] - by_kind[1][FRAMES - 1]).abs().max() > 0.01


def test_stills_give_an_answer_to_a_box_a_click_and_each_correction(predictor: SAM2VideoPredictor, batch: Batch) -> None:
    answers = answer_stills(predictor, batch, Generator().manual_seed(1), corrections=2)
    assert [answer.frame for answer in answers] == [0] * 4
    assert [answer.decoded.mask_logits_BMHW.shape[1] for answer in answers] == [1, 3, 1, 1]
    first = boxes(batch.truth(0), Generator().manual_seed(1))
    state = predictor.init_state(batch.frames_VTSS3[0].numpy())
    _, _, masks = predictor.add_new_points_or_box(state, 0, 0, box=first[0][0].flatten().numpy())
    at_side = torch.nn.functional.interpolate(last_masks(predictor, answers[:1])[0][:1], (SIDE, SIDE), mode="bilinear")
    torch.testing.assert_close(at_side, masks, atol=1e-3, rtol=0)


def test_every_object_of_the_first_frame_gets_a_gradient(batch: Batch, nano: SAM2Base) -> None:
    batch = Batch(batch.frames_VTSS3[:1, :3], batch.masks_VOTSS[:1, :, :3])
    embeddings = nano.no_mem_embed.requires_grad_(True)
    try:
        last = answer_clips(nano, batch, Generator().manual_seed(0), kind="box", corrected=frozenset())[-1]
        last.decoded.mask_logits_BMHW.sum().backward()
        assert embeddings.grad is not None
        assert embeddings.grad.abs().sum() > 0    # from the last frame, through memory, to the first
    finally:
        embeddings.grad = None
        embeddings.requires_grad_(False)


def test_an_unknown_kind_is_refused(predictor: SAM2VideoPredictor, batch: Batch) -> None:
    with pytest.raises(ValueError, match="prompt kind 'scribble': expected one of"):
        answer_clips(predictor, batch, Generator(), kind="scribble", corrected=frozenset())
