"""The image predictor keeps the released calls, shapes and errors. Equality of answers is the parity cases' part."""

import numpy as np
import pytest
import torch
from PIL import Image

from sam2.modeling.sam2_base import SAM2Base
from sam2.sam2_image_predictor import SAM2ImagePredictor

HEIGHT, WIDTH = 50, 80
POINT = {"point_coords": np.array([[30.0, 20.0]]), "point_labels": np.array([1])}


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.RandomState(0).randint(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)


@pytest.fixture
def predictor(nano: SAM2Base, picture: np.ndarray) -> SAM2ImagePredictor:
    predictor = SAM2ImagePredictor(nano)
    predictor.set_image(picture)
    return predictor


def test_three_masks_come_at_the_image_s_size(predictor: SAM2ImagePredictor) -> None:
    masks, predicted_iou, low_res = predictor.predict(**POINT)
    assert (masks.shape, predicted_iou.shape, low_res.shape) == ((3, HEIGHT, WIDTH), (3,), (3, 16, 16))
    assert masks.dtype == predicted_iou.dtype == low_res.dtype == np.float32
    assert set(np.unique(masks)) <= {0.0, 1.0}
    assert np.abs(low_res).max() <= 32


def test_logits_come_on_request_and_agree_with_the_masks(predictor: SAM2ImagePredictor) -> None:
    masks, _, _ = predictor.predict(**POINT, multimask_output=False)
    logits, _, _ = predictor.predict(**POINT, multimask_output=False, return_logits=True)
    assert logits.shape == (1, HEIGHT, WIDTH)
    assert len(np.unique(logits)) > 2
    np.testing.assert_array_equal(masks, logits > 0)


def test_the_threshold_is_the_predictor_s(nano: SAM2Base, picture: np.ndarray) -> None:
    strict = SAM2ImagePredictor(nano, mask_threshold=1.0)
    strict.set_image(picture)
    masks, _, _ = strict.predict(**POINT)
    logits, _, _ = strict.predict(**POINT, return_logits=True)
    np.testing.assert_array_equal(masks, logits > 1.0)


def test_several_boxes_are_asked_in_one_call(predictor: SAM2ImagePredictor) -> None:
    boxes = np.array([[5, 5, 40, 30], [20, 10, 70, 45], [0, 0, 80, 50]], np.float32)
    masks, predicted_iou, low_res = predictor.predict(box=boxes, multimask_output=False, return_logits=True)
    assert (masks.shape, predicted_iou.shape, low_res.shape) == ((3, 1, HEIGHT, WIDTH), (3, 1), (3, 1, 16, 16))
    for row, box in enumerate(boxes):
        alone = predictor.predict(box=box, multimask_output=False, return_logits=True)
        np.testing.assert_allclose(masks[row], alone[0], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(predicted_iou[row], alone[1], rtol=1e-4)


def test_points_in_sets_answer_as_each_alone(predictor: SAM2ImagePredictor) -> None:
    coords = np.array([[[10, 10], [30, 40]], [[70, 20], [5, 45]]], np.float32)
    labels = np.array([[1, 0], [1, 1]])
    _, together, _ = predictor.predict(coords, labels)
    for row in range(2):
        _, alone, _ = predictor.predict(coords[row], labels[row])
        np.testing.assert_allclose(together[row], alone, rtol=1e-4)


def test_a_box_is_two_corners_before_the_points(predictor: SAM2ImagePredictor) -> None:
    _, with_box, _ = predictor.predict(**POINT, box=np.array([10, 5, 60, 45]))
    corners = {"point_coords": [[10, 5], [60, 45], [30, 20]], "point_labels": [2, 3, 1]}
    _, as_points, _ = predictor.predict(**corners)
    np.testing.assert_allclose(with_box, as_points, rtol=1e-5)


def test_an_earlier_answer_is_a_prompt(predictor: SAM2ImagePredictor) -> None:
    _, predicted_iou, low_res = predictor.predict(**POINT)
    _, refined, _ = predictor.predict(**POINT, mask_input=low_res[:1], multimask_output=True)
    assert not np.allclose(predicted_iou, refined)
    _, mask_alone, _ = predictor.predict(mask_input=low_res[:1])
    assert mask_alone.shape == (3,)


def test_no_prompt_at_all_is_answered_as_released(predictor: SAM2ImagePredictor) -> None:
    assert predictor.predict()[0].shape == (3, HEIGHT, WIDTH)


def test_points_beyond_the_image_are_accepted(predictor: SAM2ImagePredictor) -> None:
    assert np.isfinite(predictor.predict(np.array([[-20.0, 500.0]]), np.array([1]))[1]).all()


def test_coordinates_may_be_shares_of_the_sides(predictor: SAM2ImagePredictor) -> None:
    share = np.array([[30 / WIDTH, 20 / HEIGHT]])
    _, from_shares, _ = predictor.predict(share, np.array([1]), normalize_coords=False)
    _, from_pixels, _ = predictor.predict(**POINT)
    np.testing.assert_allclose(from_shares, from_pixels, rtol=1e-5)


def test_formats_of_one_image_give_one_embedding(nano: SAM2Base, picture: np.ndarray) -> None:
    predictor = SAM2ImagePredictor(nano)
    embeddings = []
    for image, image_format in [
        (picture, "RGB"), (picture[..., ::-1], "BGR"), (Image.fromarray(picture), "RGB"),
        ((picture / 255).astype(np.float64), "RGB"),
    ]:  # fmt: skip
        predictor.set_image(image, image_format)
        assert predictor._orig_hw == [(HEIGHT, WIDTH)]
        embeddings.append(predictor.get_image_embedding())
    for other in embeddings[1:]:
        torch.testing.assert_close(other, embeddings[0])
    predictor.set_image(picture, "BGR")
    assert not torch.allclose(predictor.get_image_embedding(), embeddings[0])


def test_a_grey_picture_file_is_read_as_colour(nano: SAM2Base, picture: np.ndarray) -> None:
    predictor = SAM2ImagePredictor(nano)
    predictor.set_image(Image.fromarray(picture[..., 0]))
    grey = predictor.get_image_embedding()
    predictor.set_image(np.repeat(picture[..., :1], 3, axis=2))
    torch.testing.assert_close(predictor.get_image_embedding(), grey)


def test_a_batch_of_images_answers_as_each_alone(nano: SAM2Base, picture: np.ndarray) -> None:
    other = np.ascontiguousarray(picture[:30, ::-1])
    predictor = SAM2ImagePredictor(nano)
    predictor.set_image_batch([picture, other])
    assert predictor.get_image_embedding().shape == (2, 96, 4, 4)
    assert [x.shape[0] for x in predictor._features["high_res_feats"]] == [2, 2]
    masks, predicted_iou, low_res = predictor.predict_batch(
        [np.array([[30, 20]]), None], [np.array([1]), None], box_batch=[None, np.array([2, 2, 40, 25])]
    )
    assert [mask.shape for mask in masks] == [(3, HEIGHT, WIDTH), (3, 30, WIDTH)]
    predictor.set_image(picture)
    np.testing.assert_allclose(predicted_iou[0], predictor.predict(**POINT)[1], rtol=1e-4)
    predictor.set_image(other)
    np.testing.assert_allclose(low_res[1], predictor.predict(box=np.array([2, 2, 40, 25]))[2], rtol=1e-3, atol=1e-4)


def test_an_image_is_needed_first(nano: SAM2Base, picture: np.ndarray) -> None:
    predictor = SAM2ImagePredictor(nano)
    for call in (predictor.predict, predictor.predict_batch, predictor.get_image_embedding):
        with pytest.raises(RuntimeError, match="no image is set"):
            call()
    predictor.set_image(picture)
    with pytest.raises(RuntimeError, match="set_image_batch"):
        predictor.predict_batch()
    predictor.reset_predictor()
    with pytest.raises(RuntimeError, match="no image is set"):
        predictor.predict(**POINT)


def test_a_list_of_prompts_must_match_the_images(nano: SAM2Base, picture: np.ndarray) -> None:
    predictor = SAM2ImagePredictor(nano)
    predictor.set_image_batch([picture, picture])
    with pytest.raises(ValueError, match="box_batch has 1 entries: expected one for each of the 2 images"):
        predictor.predict_batch(box_batch=[np.array([0, 0, 5, 5])])
    with pytest.raises(ValueError, match="expected a list of at least one image"):
        predictor.set_image_batch([])


def test_points_and_boxes_must_be_as_many(predictor: SAM2ImagePredictor) -> None:
    with pytest.raises(ValueError, match="1 sets of points and 2 boxes"):
        predictor.predict(**POINT, box=np.array([[0, 0, 5, 5], [1, 1, 9, 9]]))
    with pytest.raises(ValueError, match="point_coords came without point_labels"):
        predictor.predict(point_coords=np.array([[1, 2]]))


def test_labels_without_points_say_nothing(predictor: SAM2ImagePredictor) -> None:
    box = np.array([4, 4, 30, 30])
    asked = predictor.predict(point_labels=np.array([1]), box=box, multimask_output=False)
    for part, plain in zip(asked, predictor.predict(box=box, multimask_output=False), strict=True):
        np.testing.assert_array_equal(part, plain)


def test_a_failed_image_leaves_none_set(predictor: SAM2ImagePredictor) -> None:
    with pytest.raises(ValueError, match="expected"):
        predictor.set_image(np.zeros((4, 4), np.uint8))
    with pytest.raises(RuntimeError, match="no image is set"):
        predictor.predict(**POINT)


def test_holes_and_islands_are_seen_to(nano: SAM2Base, picture: np.ndarray) -> None:
    plain, tidy = SAM2ImagePredictor(nano), SAM2ImagePredictor(nano, max_hole_area=300, max_sprinkle_area=0)
    for predictor in (plain, tidy):
        predictor.set_image(picture)
    grown = tidy.predict(**POINT)[0].sum((1, 2)) - plain.predict(**POINT)[0].sum((1, 2))
    assert (grown >= 0).all()
    assert grown.max() > 0


def test_the_parts_can_be_called_as_released_code_calls_them(predictor: SAM2ImagePredictor, nano: SAM2Base) -> None:
    """Fine-tuning scripts for the released package go through the prompt encoder and decoder themselves."""
    mask_input, coords, labels, box = predictor._prep_prompts(**POINT, box=None, mask_logits=None, normalize_coords=True)
    sparse, dense = nano.sam_prompt_encoder(points=(coords, labels), boxes=None, masks=mask_input)
    low_res, predicted_iou, _, _ = nano.sam_mask_decoder(
        image_embeddings=predictor._features["image_embed"][-1].unsqueeze(0),
        image_pe=nano.sam_prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=True,
        repeat_image=False,
        high_res_features=[x[-1].unsqueeze(0) for x in predictor._features["high_res_feats"]],
    )
    masks = predictor._transforms.postprocess_masks(low_res, predictor._orig_hw[-1])
    assert box is None
    expected = predictor.predict(**POINT, return_logits=True)
    np.testing.assert_allclose(masks[0].numpy(), expected[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(predicted_iou[0].numpy(), expected[1], rtol=1e-5)

