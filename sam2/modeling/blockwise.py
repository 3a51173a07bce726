"""Attention in blocks that stay in the processor's cache: one head, float32, values narrower than keys.

Source of the running maximum and sum: Rabe and Staats 2021, "Self-attention does not need O(n^2) memory".

Legend: B objects, N queries, K keys, C width of queries and keys, D width of values.
"""

import torch
from torch import Tensor

QUERIES, KEYS = 512, 1024       # of a block: its 2 MB of scores fit a core's caches


def attend_blockwise(q_BNC: Tensor, k_BKC: Tensor, values_BKD: Tensor) -> Tensor:
    """Return softmax(q k' / sqrt(C)) values, (B, N, D); without gradients."""
    q_BNC = q_BNC * q_BNC.shape[2] ** -0.5
    answer_BND = values_BKD.new_empty(*q_BNC.shape[:2], values_BKD.shape[2])
    scratch = q_BNC.new_empty(min(QUERIES, q_BNC.shape[1]) * min(KEYS, k_BKC.shape[1]))
    for q_NC, k_KC, values_KD, answer_ND in zip(q_BNC, k_BKC, values_BKD, answer_BND, strict=True):
        for q_nC, answer_nD in zip(q_NC.split(QUERIES), answer_ND.split(QUERIES), strict=True):
            answer_nD.copy_(_attend(q_nC, k_KC.split(KEYS), values_KD.split(KEYS), scratch))
    return answer_BND


def _attend(q_nC: Tensor, keys: tuple[Tensor, ...], values: tuple[Tensor, ...], scratch: Tensor) -> Tensor:
    """Go through the keys once: what was summed up so far fades where a higher score turns up."""
    count = len(q_nC)
    top_n1 = q_nC.new_full((count, 1), -torch.inf)
    total_n1, sum_nD = q_nC.new_zeros(count, 1), q_nC.new_zeros(count, values[0].shape[1])
    for k_kC, values_kD in zip(keys, values, strict=True):
        scores_nk = torch.mm(q_nC, k_kC.T, out=scratch[: count * len(k_kC)].view(count, len(k_kC)))
        higher_n1 = torch.maximum(top_n1, scores_nk.amax(1, keepdim=True))
        fade_n1 = (top_n1 - higher_n1).exp_()
        weights_nk = scores_nk.sub_(higher_n1).exp_()
        total_n1.mul_(fade_n1).add_(weights_nk.sum(1, keepdim=True))
        sum_nD.mul_(fade_n1).addmm_(weights_nk, values_kD)
        top_n1 = higher_n1
    return sum_nD.div_(total_n1)
