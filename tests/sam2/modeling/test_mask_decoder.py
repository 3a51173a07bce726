"""The mask decoder: which candidates come back, and when a single mask is replaced."""

from dataclasses import replace

import pytest
import torch

from sam2.modeling.mask_decoder import MaskDecoder
from sam2.variants import NANO

CONFIG = replace(NANO, image_size=64)


def ask(decoder: MaskDecoder, *, multimask: bool, prompts: int = 1) -> object:
    make = torch.Generator().manual_seed(3)
    return decoder.decode(
        torch.randn(1, 96, 4, 4, generator=make),
        (torch.randn(1, 12, 16, 16, generator=make), torch.randn(1, 24, 8, 8, generator=make)),
        tokens_BTC=torch.randn(prompts, 2, 96, generator=make),
        prompt_BChw=torch.zeros(1, 96, 1, 1).expand(prompts, 96, 4, 4),
        image_pos_1Chw=torch.randn(1, 96, 4, 4, generator=make),
        multimask=multimask,
    )


@pytest.fixture
def decoder() -> MaskDecoder:
    torch.manual_seed(0)
    return MaskDecoder(CONFIG).eval()


@pytest.mark.parametrize(("multimask", "count"), [(True, 3), (False, 1)])
def test_three_candidates_or_one(decoder: MaskDecoder, multimask: bool, count: int) -> None:
    answer = ask(decoder, multimask=multimask, prompts=2)
    assert answer.mask_logits_BMHW.shape == (2, count, 16, 16)
    assert answer.predicted_iou_BM.shape == (2, count)
    assert answer.tokens_BMC.shape == (2, count, 96)
    assert answer.object_score_logits_B1.shape == (2, 1)
    assert ((answer.predicted_iou_BM > 0) & (answer.predicted_iou_BM < 1)).all()


def test_an_unstable_single_mask_is_replaced_by_the_best_of_three(decoder: MaskDecoder) -> None:
    plain, three = ask(decoder, multimask=False), ask(decoder, multimask=True)
    best = int(three.predicted_iou_BM.argmax())
    decoder.config = replace(CONFIG, dynamic_multimask_via_stability=True, dynamic_multimask_stability_delta=1e3)
    replaced = ask(decoder, multimask=False)
    torch.testing.assert_close(replaced.mask_logits_BMHW[0, 0], three.mask_logits_BMHW[0, best])
    torch.testing.assert_close(replaced.predicted_iou_BM[0, 0], three.predicted_iou_BM[0, best])
    torch.testing.assert_close(replaced.tokens_BMC, plain.tokens_BMC)


def test_a_stable_single_mask_stays(decoder: MaskDecoder) -> None:
    plain = ask(decoder, multimask=False)
    decoder.config = replace(CONFIG, dynamic_multimask_via_stability=True, dynamic_multimask_stability_delta=0.0)
    torch.testing.assert_close(ask(decoder, multimask=False).mask_logits_BMHW, plain.mask_logits_BMHW)


def test_an_empty_single_mask_counts_as_stable(decoder: MaskDecoder) -> None:
    decoder.config = replace(CONFIG, dynamic_multimask_via_stability=True)
    logits = torch.full((1, 4, 2, 2), -9.0)
    logits[:, 1:] = 9.0
    kept, _ = decoder._replace_unstable(logits, torch.rand(1, 4))
    assert torch.equal(kept, logits[:, :1])


def test_in_training_a_single_mask_is_never_replaced(decoder: MaskDecoder) -> None:
    plain = ask(decoder, multimask=False)
    decoder.config = replace(CONFIG, dynamic_multimask_via_stability=True, dynamic_multimask_stability_delta=1e3)
    decoder.train()
    torch.testing.assert_close(ask(decoder, multimask=False).mask_logits_BMHW, plain.mask_logits_BMHW)


def test_fine_maps_are_needed(decoder: MaskDecoder) -> None:
    with pytest.raises(ValueError, match="high_res_features is None"):
        decoder(torch.zeros(1, 96, 4, 4), None, torch.zeros(1, 2, 96), torch.zeros(1, 96, 4, 4), True)
