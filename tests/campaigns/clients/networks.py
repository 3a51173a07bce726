"""Networks whose layers, weights and settings a program changes; frame numbers and states of its own."""

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tests.campaigns.clients.kit import BOX, POINT, disc, opened, program, tracked, video


def _boxed(predictor: Any, count: int = 3) -> Any:
    state = opened(predictor, count)
    predictor.add_new_points_or_box(state, 0, 1, box=BOX)
    return state


class Nowhere(nn.Module):
    """An encoding of places that says nothing."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


@program
def memory_without_places() -> Any:
    p = video()
    p.memory_encoder.position_encoding = Nowhere()
    return tracked(p, _boxed(p))


@program
def memory_that_a_hook_changes() -> Any:
    p = video()
    p.memory_encoder.register_forward_hook(lambda *call: call[2] | {"vision_features": 2 * call[2]["vision_features"]})
    return tracked(p, _boxed(p))


@program
def prompts_without_places() -> Any:
    p = video()
    place = p.sam_prompt_encoder.get_dense_pe()
    p.sam_prompt_encoder.get_dense_pe = lambda: 0 * place
    return tracked(p, _boxed(p))


@program
def other_activations() -> Any:
    p = video()
    for block in p.image_encoder.trunk.blocks:
        block.mlp.act = nn.ReLU()
    p.memory_attention.layers[0].activation = nn.functional.gelu
    p.sam_mask_decoder.output_upscaling[2] = nn.ReLU()
    return tracked(p, _boxed(p))


@program
def fewer_layers() -> Any:
    p = video()
    p.memory_attention.layers = p.memory_attention.layers[:2]
    p.obj_ptr_proj = nn.Identity()
    return tracked(p, _boxed(p))


@program
def weights_edited_while_tracking() -> Any:
    p = video()
    frames = p.propagate_in_video(_boxed(p))
    next(frames)
    with torch.no_grad():
        p.image_encoder.trunk.pos_embed.mul_(3)
        p.maskmem_tpos_enc.data.mul_(0)
    return [masks for _, _, masks in frames]


@program
def settings_changed_while_tracking() -> Any:
    p = video()
    state = _boxed(p, 5)
    p.add_new_points_or_box(state, 0, 2, points=[POINT], labels=[1])
    frames = p.propagate_in_video(state)
    next(frames)
    p.num_maskmem, p.non_overlap_masks = 2, True
    return [masks for _, _, masks in frames]


@program
def frame_numbers_in_tensors() -> Any:
    p = video()
    state = _boxed(p, 4)
    answers = p.propagate_in_video(state, start_frame_idx=torch.tensor(1), max_frame_num_to_track=torch.tensor(2))
    return [masks for _, _, masks in answers] + tracked(p, state, start_frame_idx=np.int64(2))


@program
def a_state_copied_and_joined_with_notes() -> Any:
    p = video()
    joined = _boxed(p).copy() | {"mine": 1}
    return joined["mine"], tracked(p, joined)


@program
def a_copy_on_the_way() -> Any:
    p = video()
    state = _boxed(p, 4)
    frames = p.propagate_in_video(state)
    next(frames), next(frames)
    branch = copy.deepcopy(state)
    return tracked(p, branch, start_frame_idx=2), tracked(p, state, start_frame_idx=2)


@program
def a_later_frame_both_ways() -> Any:
    p = video()
    state = opened(p, 5)
    p.add_new_points_or_box(state, 3, 1, box=BOX)
    return tracked(p, state, reverse=True), tracked(p, state), tracked(p, state, start_frame_idx=2, reverse=True)


@program
def a_mask_of_nothing_then_a_box() -> Any:
    p = video()
    state = opened(p, 3)
    p.add_new_mask(state, 0, 1, 0 * disc(np.uint8))
    first = tracked(p, state)
    p.reset_state(state)
    p.add_new_mask(state, 0, 1, disc())
    p.add_new_points_or_box(state, 0, 1, box=BOX)
    return first, tracked(p, state)
