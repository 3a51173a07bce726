"""Still images."""

import copy
from typing import Any

import numpy as np
import torch
from PIL import Image

from tests.campaigns.clients.kit import BOX, POINT, picture, program, still


@program
def a_click_on_an_image() -> Any:
    p = still()
    p.set_image(picture())
    return p.predict(point_coords=np.array([POINT]), point_labels=np.array([1]), multimask_output=True)


@program
def images_of_every_kind() -> Any:
    p, answers = still(), []
    for image in (
        picture(), Image.fromarray(picture()), picture().astype(np.float32) / 255, np.ascontiguousarray(picture()[:, ::-1]),
    ):  # fmt: skip
        p.set_image(image)
        answers.append(p.predict(box=np.array(BOX), multimask_output=False, return_logits=True)[0])
    return answers


@program
def positional_arguments_on_an_image() -> Any:
    p = still()
    p.set_image(picture())
    return p.predict(np.array([POINT]), np.array([1]), None, None, False, True)


@program
def low_resolution_logits_go_round() -> Any:
    p = still()
    p.set_image(picture())
    masks, scores, logits = p.predict(np.array([POINT]), np.array([1]))
    best = logits[np.argmax(scores), :, :]
    return logits.dtype.name, p.predict(np.array([POINT, [70, 60]]), np.array([1, 0]), None, best[None, :, :], False)


@program
def many_boxes_at_once() -> Any:
    p = still()
    p.set_image(picture())
    boxes = np.array([BOX, [10, 10, 50, 50], [40, 20, 90, 70]])
    masks, scores, logits = p.predict(None, None, box=boxes, multimask_output=False)
    return masks.shape, masks.dtype.name, scores.shape, logits.shape, masks, scores


@program
def one_box_with_an_axis() -> Any:
    p = still()
    p.set_image(picture())
    return [p.predict(box=box, multimask_output=m)[0].shape for box in (np.array(BOX), np.array([BOX])) for m in (True, False)]


@program
def many_points_at_once() -> Any:
    p = still()
    p.set_image(picture())
    return p.predict(np.array([[POINT], [[60, 20]]]), np.array([[1], [1]]), multimask_output=True)


@program
def labels_alone() -> Any:
    p = still()
    p.set_image(picture())
    return p.predict(point_coords=None, point_labels=np.array([1]), box=np.array(BOX), multimask_output=False)


@program
def tensors_by_hand_on_an_image() -> Any:
    p = still()
    p.set_image(picture())
    mask, coords, labels, boxes = p._prep_prompts(np.array([POINT]), np.array([1]), np.array(BOX), None, True)
    with torch.no_grad():
        answers = p._predict(coords, labels, boxes, mask, multimask_output=False, return_logits=True)
    return mask, coords, labels, boxes, answers


@program
def a_batch_of_images() -> Any:
    p = still()
    p.set_image_batch([picture(), picture(3)[:60]])
    boxes = [np.array([BOX]), np.array([BOX, [5, 5, 40, 40]])]
    masks, scores, logits = p.predict_batch(None, None, box_batch=boxes, multimask_output=False)
    clicks = p.predict_batch([np.array([POINT])] * 2, [np.array([1])] * 2, multimask_output=True)
    return [m.shape for m in masks], masks, scores, clicks[1]


@program
def what_an_image_predictor_keeps() -> Any:
    p = still()
    before = p._is_image_set, p._features, p._orig_hw, p._is_batch
    p.set_image(picture())
    kept = p._is_image_set, sorted(p._features), p._features["image_embed"], p._orig_hw, p.get_image_embedding()
    p.reset_predictor()
    return before, kept, p._is_image_set, p.mask_threshold, p.model.image_size, str(p.device)


@program
def features_of_an_image_put_back() -> Any:
    p = still()
    p.set_image(picture())
    features, size = p._features, p._orig_hw
    p.set_image(picture(4)[:50])
    p._features, p._orig_hw = features, size
    return p.predict(box=np.array(BOX), multimask_output=False)


@program
def a_threshold_of_ones_own() -> Any:
    p = still(mask_threshold=0.3)
    p.set_image(picture())
    first = p.predict(box=np.array(BOX), multimask_output=False)[0]
    p.mask_threshold = -0.3
    return first, p.predict(box=np.array(BOX), multimask_output=False)[0]


@program
def no_prompt_at_all() -> Any:
    p = still()
    p.set_image(picture())
    return p.predict(multimask_output=False)


@program
def errors_on_images() -> Any:
    p, caught = still(), []
    for ask in (lambda: p.predict(box=np.array(BOX)), lambda: p.get_image_embedding()):
        try:
            ask()
        except RuntimeError:
            caught.append("RuntimeError")
    return caught


@program
def an_image_predictor_copied() -> Any:
    p = still()
    p.set_image(picture())
    return copy.deepcopy(p).predict(box=np.array(BOX), multimask_output=False)
