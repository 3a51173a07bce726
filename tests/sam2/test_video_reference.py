"""Videos that the released code answered, kept as small files: equality is tested without anything outside."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sam2.sam2_video_predictor import SAM2VideoPredictor
from sam2.tracking.propagation import FrameOutput
from sam2.tracking.state import VideoState
from tests.reference import video_steps
from tests.reference.video_steps import NUM_FRAMES, STEPS
from tests.sam2.clips import HEIGHT, NANO, SAMURAI, WIDTH, drawn_clip, one_thread, predictor  # noqa: F401

Answers = dict[str, np.ndarray]

FOLDER = Path(video_steps.__file__).parent
LOGIT_TOLERANCE, SCORE_TOLERANCE = 1e-3, 3e-4


@pytest.mark.parametrize("name", STEPS)
def test_equals_what_the_released_code_answered(name: str) -> None:
    with np.load(FOLDER / f"{name}.npz") as stored:
        wanted = dict(stored)
    got = answers(predictor(SAMURAI if "samurai" in name else NANO, "++model.fill_hole_area=0"), name)
    assert {key.rsplit("/", 1)[0] for key in wanted} == {key.rsplit("/", 1)[0] for key in got}
    for key, value in wanted.items():
        relative = key.endswith(("logits", "prompt")) and "score" not in key
        tolerance = LOGIT_TOLERANCE * max(1.0, np.abs(value).max()) if relative else SCORE_TOLERANCE
        np.testing.assert_allclose(got[key], value, rtol=0, atol=tolerance, err_msg=key)
    if name == "video_samurai_box":
        assert sum(key.endswith("motion_score") and not np.isnan(value) for key, value in wanted.items()) > 5


def answers(model: SAM2VideoPredictor, name: str) -> Answers:
    state = model.init_state(drawn_clip(NUM_FRAMES[name]))
    found: Answers = {}
    for number, step in enumerate(STEPS[name]):
        options = {key: value for key, value in step.items() if key != "do"}
        if step["do"] == "propagate":
            for out in model.propagate(state, **options):
                found |= on_frame(number, out)
        elif step["do"] == "remove":
            model.remove_object(state, step["obj"])
        elif step["do"] == "clear":
            model.clear_all_prompts_in_frame(state, step["frame"], step["obj"])
        else:
            found[f"{number}/prompt"] = prompted(model, state, step)
    return found


def on_frame(number: int, out: FrameOutput) -> Answers:
    found = {}
    for row, obj_id in enumerate(out.obj_ids):
        for name in ("low_res_logits", "object_score_logits", "predicted_iou", "motion_score"):
            value = getattr(out, name)[row].numpy()
            found[f"{number}/f{out.frame_idx}/o{obj_id}/{name}"] = value[0] if value.ndim else value
    return found


def prompted(model: SAM2VideoPredictor, state: VideoState, step: dict[str, Any]) -> np.ndarray:
    frame_idx, obj_id = step["frame"], step["obj"]
    if "mask" in step:
        y0, x0, y1, x1 = step["mask"]
        mask = np.zeros((HEIGHT, WIDTH), bool)
        mask[y0:y1, x0:x1] = True
        _, ids, logits = model.add_new_mask(state, frame_idx, obj_id, mask)
    else:
        given = {key: step[key] for key in ("box", "points", "labels") if key in step}
        _, ids, logits = model.add_new_points_or_box(
            state, frame_idx, obj_id, clear_old_points=not step.get("keep", False), **given
        )
    return logits[ids.index(obj_id), 0, ::4, ::4].numpy()
