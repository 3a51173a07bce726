"""The network answers as the released one does, for one object and for several, and follows its weights."""

from pathlib import Path

import numpy as np
import pytest
import torch

from sam2.build_sam import build_sam2
from sam2.modeling.position_encoding import PositionEmbeddingSine
from sam2.modeling.sam2_base import ABSENT_LOGIT, ImageFeatures, SAM2Base
from tests.reference.formula import WINDOWED, Questions, formula_weights, questions, thin

REFERENCE = Path(__file__).parents[2] / "reference"
CASES = {"sam2.1_nano": 128, "sam2.1_hiera_t": 96, "sam2_hiera_t": 96}


@pytest.fixture(scope="module")
def tiny_weights() -> dict[str, torch.Tensor]:
    """Weights of SAM 2.1 tiny by formula; SAM 2.0 tiny has the same but for three."""
    return formula_weights(build_sam2("sam2.1_hiera_t", device="cpu").state_dict())


def ask(model: SAM2Base, asked: Questions) -> dict[str, torch.Tensor]:
    """Return the answers under the names of the reference files."""
    features = model.encode_image(asked.image_13SS)
    answers = {"vision": features.vision_BChw, "at_4": features.high_res[0], "at_8": features.high_res[1]}
    vision = model.without_memory(features)
    points = {"points_xy_BP2": asked.points_xy_232, "labels_BP": asked.labels_23}
    calls = {
        "none": {"multimask": True, "batch": 2},
        "points": {"multimask": False, **points},
        "mask": {"multimask": True, "mask_logits_B1HW": asked.mask_logits_21HW, **points},
    }
    for key, call in calls.items():
        decoded = model.decode(vision, features.high_res, **call)
        score = decoded.object_score_logits_B1
        best = decoded.predicted_iou_BM.argmax(1) if call["multimask"] else torch.tensor([0, 0])
        answers[f"{key}/logits"] = model.mask_absent(decoded.mask_logits_BMHW, score)
        answers[f"{key}/iou"] = decoded.predicted_iou_BM
        answers[f"{key}/pointer"] = model.pointer(decoded.tokens_BMC[[0, 1], best], score)
        answers[f"{key}/object_score"] = score
    for key in ("tracked", "prompted"):
        answers[f"memory_{key}"] = model.encode_memory(
            features.vision_BChw, asked.memory_logits_21SS, asked.object_scores_21, from_prompt=key == "prompted"
        )
    answers["pointer_of_mask"] = model.pointer_of_mask(features, asked.mask_21SS)
    pointers = torch.stack([asked.pointers_2C[i] for i in (0, 2, 1, 3)], dim=1)
    answers["conditioned"] = model.condition_on_memory(
        features, asked.memories_2Dhw, [0, 5, 6], pointers, [10, 1, 2, 7], max_pointer_offset=11
    )
    return answers


@pytest.mark.parametrize("variant", CASES)
def test_answers_equal_the_released_ones(variant: str, tiny_weights: dict[str, torch.Tensor]) -> None:
    overrides = [f"++model.image_size={CASES[variant]}", "++model.binarize_mask_from_pts_for_mem_enc=true"]
    overrides += WINDOWED if "nano" in variant else ()
    model = build_sam2(variant, device="cpu", hydra_overrides_extra=overrides)
    own = model.state_dict()
    model.load_state_dict(formula_weights(own) if "nano" in variant else {name: tiny_weights[name] for name in own})
    config = model.config
    asked = questions(config.image_size, hidden=config.hidden_dim, memory=config.memory_dim)
    with torch.inference_mode():
        answers = ask(model, asked)
    with np.load(REFERENCE / f"{variant}.npz") as stored:
        assert set(stored) == set(answers)
        for key in stored:
            # memories are kept in bfloat16, whose last digit may flip
            tolerance = 2e-2 if key.startswith("memory") else 2e-5
            np.testing.assert_allclose(thin(answers[key]), stored[key], rtol=tolerance, atol=tolerance, err_msg=key)


def test_objects_in_a_batch_answer_as_alone(nano: SAM2Base, image_64: torch.Tensor) -> None:
    asked = questions(64, hidden=96, memory=32)
    features = nano.encode_image(image_64)

    def condition(rows: slice) -> torch.Tensor:
        memories = [memory[rows] for memory in asked.memories_2Dhw]
        return nano.condition_on_memory(features, memories, [0, 5, 6], torch.stack(asked.pointers_2C, 1)[rows], [3, 1, 2, 9])

    together = condition(slice(0, 2))
    decoded = nano.decode(together, features.high_res, multimask=True)
    for row in range(2):
        alone = condition(slice(row, row + 1))
        torch.testing.assert_close(together[row], alone[0], rtol=1e-4, atol=1e-5)
        answer = nano.decode(alone, features.high_res, multimask=True)
        torch.testing.assert_close(decoded.mask_logits_BMHW[row], answer.mask_logits_BMHW[0], rtol=1e-4, atol=1e-4)


def test_positions_may_differ_between_the_objects_of_a_batch(nano: SAM2Base, image_64: torch.Tensor) -> None:
    asked = questions(64, hidden=96, memory=32)
    features = nano.encode_image(image_64)
    pointers = torch.stack(asked.pointers_2C, 1)
    slots, offsets = [[0, 5, 6], [0, 2, 6]], [[3, 1, 2, 9], [-4, 1, 5, 6]]
    together = nano.condition_on_memory(
        features, asked.memories_2Dhw, torch.tensor(slots), pointers, torch.tensor(offsets)
    )
    for row in range(2):
        memories = [memory[row : row + 1] for memory in asked.memories_2Dhw]
        alone = nano.condition_on_memory(features, memories, slots[row], pointers[row : row + 1], offsets[row])
        torch.testing.assert_close(together[row], alone[0], rtol=1e-4, atol=1e-5)


def test_memory_without_a_pointer_works_in_float32(nano: SAM2Base, image_64: torch.Tensor) -> None:
    features = nano.encode_image(image_64)
    memory = questions(64, hidden=96, memory=32).memories_2Dhw[0]
    conditioned = nano.condition_on_memory(features, [memory], [0])
    assert conditioned.shape == (2, 96, 4, 4)
    assert conditioned.dtype == torch.float32


def test_absent_objects_get_no_mask_and_the_pointer_of_absence(nano: SAM2Base) -> None:
    scores = torch.tensor([[0.5], [-0.5], [0.0]])
    logits = nano.mask_absent(torch.ones(3, 1, 2, 2), scores)
    assert logits[:, 0, 0, 0].tolist() == [1.0, ABSENT_LOGIT, ABSENT_LOGIT]
    pointers = nano.pointer(torch.ones(3, 96), scores)
    assert torch.equal(pointers[1:], nano.no_obj_ptr.expand(2, -1))
    assert not torch.equal(pointers[:1], nano.no_obj_ptr)


def test_samurai_counts_an_object_present_down_to_its_own_threshold() -> None:
    model = build_sam2(
        "configs/samurai/sam2.1_hiera_t.yaml", device="cpu", hydra_overrides_extra=["++model.image_size=64"]
    )
    logits = model.mask_absent(torch.ones(3, 1, 2, 2), torch.tensor([[-0.5], [-1.0], [-2.0]]))
    assert logits[:, 0, 0, 0].tolist() == [1.0, ABSENT_LOGIT, ABSENT_LOGIT]


def test_features_are_indexed_frame_by_frame(nano: SAM2Base, image_64: torch.Tensor) -> None:
    features = nano.encode_image(torch.cat([image_64, -image_64, image_64 / 2]))
    assert len(features) == 3
    last = features[-1]
    assert isinstance(last, ImageFeatures)
    assert torch.equal(last.vision_BChw, features.vision_BChw[2:])
    assert torch.equal(features[1].high_res[1], features.high_res[1][1:2])


def test_a_frame_of_another_size_is_refused(nano: SAM2Base) -> None:
    with pytest.raises(ValueError, match=r"\(1, 3, 32, 64\): expected \(B, 3, 64, 64\)"):
        nano.encode_image(torch.zeros(1, 3, 32, 64))


@pytest.mark.parametrize("through_data", [False, True])
def test_answers_follow_weights_changed_in_place(image_64: torch.Tensor, through_data: bool) -> None:
    model = build_sam2("sam2.1_nano", device="cpu", hydra_overrides_extra=["++model.image_size=64"])
    with torch.inference_mode():
        before = model.decode(model.encode_image(image_64).vision_BChw, model.encode_image(image_64).high_res, multimask=True)
    weights = formula_weights(model.state_dict())
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            (tensor.data if through_data else tensor).copy_(weights[name])
    fresh = build_sam2("sam2.1_nano", device="cpu", hydra_overrides_extra=["++model.image_size=64"])
    fresh.load_state_dict(weights)
    with torch.inference_mode():
        features, expected = model.encode_image(image_64), fresh.encode_image(image_64)
        after = model.decode(features.vision_BChw, features.high_res, multimask=True)
        wanted = fresh.decode(expected.vision_BChw, expected.high_res, multimask=True)
    assert torch.equal(after.mask_logits_BMHW, wanted.mask_logits_BMHW)
    assert not torch.allclose(after.mask_logits_BMHW, before.mask_logits_BMHW)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_every_part_runs_under_autocast(nano: SAM2Base, dtype: torch.dtype) -> None:
    asked = questions(64, hidden=96, memory=32)
    with torch.inference_mode():
        exact = ask(nano, asked)
        with torch.autocast("cpu", dtype=dtype):
            rough = ask(nano, asked)
    assert rough["none/logits"].dtype == torch.float32
    for key in ("vision", "none/logits", "conditioned"):
        error = (rough[key].float() - exact[key]).abs().max() / exact[key].abs().max()
        assert error < 0.1, key


def test_gradients_reach_every_parameter_that_takes_part(image_64: torch.Tensor) -> None:
    model = build_sam2("sam2.1_nano", device="cpu", mode="train", hydra_overrides_extra=["++model.image_size=64"])
    model.load_state_dict(formula_weights(model.state_dict()))
    with torch.inference_mode():
        model.encode_image(image_64)        # tables remembered here must not get in the way
    answers = ask(model, questions(64, hidden=96, memory=32))
    sum(answer.float().square().mean() for answer in answers.values()).backward()
    idle = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert idle == ["no_mem_pos_enc"]


def test_an_encoding_of_places_that_is_replaced_or_watched_acts() -> None:
    model = build_sam2("sam2.1_nano", device="cpu", hydra_overrides_extra=["++model.image_size=64"])
    model.load_state_dict(formula_weights(model.state_dict()))
    asked = questions(64, hidden=96, memory=32)
    with torch.inference_mode():
        before = ask(model, asked)["conditioned"]
        hook = model.memory_encoder.position_encoding.register_forward_hook(lambda *call: 0 * call[2])
        hooked = ask(model, asked)["conditioned"]
        hook.remove()
        assert torch.equal(ask(model, asked)["conditioned"], before)
        model.memory_encoder.position_encoding = PositionEmbeddingSine(32, normalize=False)
        uncounted = ask(model, asked)["conditioned"]
    assert not torch.allclose(hooked, before)
    assert not torch.allclose(uncounted, before)
