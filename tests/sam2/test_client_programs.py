"""Annotation tools and trackers, in the way that each uses the package: what they do must work, and find the object."""

import collections
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sam2.sam2_video_predictor import SAM2VideoPredictor
from sam2.utils.misc import fill_holes_in_mask_scores
from tests.sam2.clips import BOX, HEIGHT, SAMURAI, WIDTH, drawn_clip, one_thread, predictor  # noqa: F401


def written(folder: Path, count: int) -> str:
    for k, frame in enumerate(drawn_clip(count)):
        Image.fromarray(frame).save(folder / f"{k:05d}.jpg", quality=95)
    return str(folder)


def masked() -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[8:32, 4:24] = True
    return mask


def test_a_tracker_that_steps_frames_by_hand() -> None:
    """As CVAT's function: images encoded ahead and kept by the caller, the memory in the caller's own dict, cut to length."""
    model = predictor()
    levels = model.num_feature_levels

    @torch.inference_mode()
    def ahead(frame: np.ndarray) -> dict[str, list]:
        side = model.image_size
        image = torch.from_numpy(np.array(Image.fromarray(frame).resize((side, side)))).permute(2, 0, 1)[None] / 255 - 0.5
        backbone = model.forward_image(image)
        maps, places = backbone["backbone_fpn"][-levels:], backbone["vision_pos_enc"][-levels:]
        return {
            "current_vision_feats": [x.flatten(2).permute(2, 0, 1) for x in maps],
            "current_vision_pos_embeds": [x.flatten(2).permute(2, 0, 1) for x in places],
            "feat_sizes": [(x.shape[-2], x.shape[-1]) for x in places],
        }

    @torch.inference_mode()
    def step(seen: dict[str, list], t: int, **how: object) -> dict[str, object]:
        out = model.track_step(frame_idx=t, point_inputs=None, num_frames=t + 1, **seen, **how)
        out["pred_masks"] = fill_holes_in_mask_scores(out["pred_masks"], model.fill_hole_area)
        return {key: out[key] for key in ("maskmem_features", "maskmem_pos_enc", "pred_masks", "obj_ptr")}

    clip = drawn_clip(12)
    mask = torch.nn.functional.interpolate(torch.from_numpy(masked()).float()[None, None], (model.image_size,) * 2) >= 0.5
    first = step(ahead(clip[0]), 0, is_init_cond_frame=True, mask_inputs=mask.float(), output_dict={})
    memory = {"cond_frame_outputs": {0: first}, "non_cond_frame_outputs": collections.OrderedDict()}
    for t in range(1, 12):
        out = step(ahead(clip[t]), t, is_init_cond_frame=False, mask_inputs=None, output_dict=memory)
        memory["non_cond_frame_outputs"][t] = out
        while len(memory["non_cond_frame_outputs"]) > model.num_maskmem:
            memory["non_cond_frame_outputs"].popitem(last=False)
        assert torch.isfinite(out["pred_masks"]).all()
    assert list(memory["non_cond_frame_outputs"]) == list(range(5, 12))


def test_a_backend_that_writes_frames_for_each_request() -> None:
    """As Label Studio's: a state kept by folder, reset before it is used, five points in a box, ids made on the way."""
    model = predictor()
    answers = []
    for _ in range(2):
        with tempfile.TemporaryDirectory() as folder:
            state = model.init_state(video_path=written(Path(folder), 8))
            model.reset_state(state)
            x, y, w, h = 0.1, 0.2, 0.3, 0.5
            points = np.array([[x + w / 2, y + h / 2], [x + w / 4, y + h / 2], [x + w / 2, y + h / 4]], np.float32)
            points *= [WIDTH, HEIGHT]
            model.add_new_points(
                inference_state=state, frame_idx=2, obj_id=0, points=points, labels=np.array([1] * 3, dtype=np.int32)
            )
            frames = {}
            for t, obj_ids, logits in model.propagate_in_video(
                inference_state=state, start_frame_idx=2, max_frame_num_to_track=2 + 10
            ):
                assert obj_ids == [0]
                frames[t] = (logits[0] > 0.0).cpu().numpy().squeeze()
        answers.append(frames)
    assert list(answers[0]) == list(range(2, 8))
    assert all(np.array_equal(answers[0][t], answers[1][t]) for t in answers[0])


def test_a_demo_that_follows_a_box_in_samurai_mode(tmp_path: Path) -> None:
    """As SAMURAI's script: half precision around everything, frames offloaded, boxes made of the masks."""
    model = predictor(SAMURAI)
    boxes = {}
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        state = model.init_state(written(tmp_path, 6), offload_video_to_cpu=True)
        x0, y0, x1, y1 = BOX
        _, _, masks = model.add_new_points_or_box(state, box=(x0, y0, x1, y1), frame_idx=0, obj_id=0)
        for t, object_ids, masks in model.propagate_in_video(state):
            for obj_id, mask in zip(object_ids, masks, strict=True):
                inside = np.argwhere(mask[0].cpu().numpy() > 0.0)
                boxes[t] = [0] * 4 if not len(inside) else [*inside.min(axis=0).tolist(), *inside.max(axis=0).tolist()]
                assert obj_id == 0
    assert list(boxes) == list(range(6))


def test_a_detector_whose_objects_are_tracked_in_pieces(tmp_path: Path) -> None:
    """As Grounded-SAM-2's demos: every few frames detected again, the state reset, masks added, a piece tracked."""
    model = predictor()
    state = model.init_state(video_path=written(tmp_path, 10), offload_video_to_cpu=True, async_loading_frames=True)
    segments: dict[int, dict[int, np.ndarray]] = {}
    for start in (0, 4, 8):
        model.reset_state(state)
        for obj_id, mask in enumerate((masked(), np.roll(masked(), 25, axis=1)), start=1):
            model.add_new_mask(state, start, obj_id, torch.from_numpy(mask))
        for t, obj_ids, logits in model.propagate_in_video(state, max_frame_num_to_track=4, start_frame_idx=start):
            segments[t] = {obj_id: (logits[i] > 0.0)[0].cpu().numpy() for i, obj_id in enumerate(obj_ids)}
    assert list(segments) == list(range(10))
    assert all(list(masks) == [1, 2] for masks in segments.values())
    state.close()


class FromVolumes(SAM2VideoPredictor):
    """A predictor whose states are dicts of its own making, as programs write it for volumes, cameras and compressed frames."""

    @torch.inference_mode()
    def init_state(self, volume: torch.Tensor) -> dict[str, object]:
        state: dict[str, object] = {
            "images": volume, "num_frames": len(volume), "video_height": HEIGHT, "video_width": WIDTH, "device": self.device,
            "storage_device": self.device, "offload_video_to_cpu": False, "offload_state_to_cpu": False,
            "obj_id_to_idx": collections.OrderedDict(), "obj_idx_to_id": collections.OrderedDict(), "obj_ids": [],
        }  # fmt: skip
        for name in ("point_inputs", "mask_inputs", "output_dict", "temp_output_dict", "frames_tracked"):
            state[f"{name}_per_obj"] = {}
        state["cached_features"], state["constants"] = {}, {}
        self._get_image_feature(state, frame_idx=0, batch_size=1)
        return state


def test_a_subclass_that_makes_its_own_states() -> None:
    plain = predictor()
    model = FromVolumes(config=plain.config)
    model.load_state_dict(plain.state_dict())
    model.eval()
    usual = plain.init_state(drawn_clip(5))
    state = model.init_state(usual["images"][0:5])
    assert list(state["cached_features"]) == [0]
    for tracker, tracked in ((model, state), (plain, usual)):
        tracker.add_new_points_or_box(tracked, 0, 7, box=BOX)
    pairs = zip(model.propagate_in_video(state), plain.propagate_in_video(usual), strict=True)
    for (_, ids, masks), (_, _, wanted) in pairs:
        assert ids == [7] == state["obj_ids"]
        torch.testing.assert_close(masks, wanted, rtol=0, atol=1e-5)
    for outputs in state["output_dict_per_obj"].values():
        for old in [k for k in outputs["non_cond_frame_outputs"] if k < 4]:
            del outputs["non_cond_frame_outputs"][old]
    assert list(usual["output_dict_per_obj"][0]["non_cond_frame_outputs"]) == [1, 2, 3, 4]
    assert list(state["output_dict_per_obj"][0]["non_cond_frame_outputs"]) == [4]


def test_a_subclass_whose_method_could_not_act_is_refused() -> None:
    class Consolidating(SAM2VideoPredictor):
        def _consolidate_temp_output_across_obj(self, *args: object, **kwargs: object) -> None:
            raise AssertionError("is not called")

    with pytest.raises(TypeError, match="Consolidating replaces _consolidate_temp_output_across_obj, which tracking does not"):
        Consolidating(config=predictor().config)
