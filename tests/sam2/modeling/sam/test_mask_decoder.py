"""The mask decoder: which candidates come back, and when a single mask is replaced."""

import pytest
import torch
from torch import nn

from sam2.modeling.sam.mask_decoder import Decoded, MaskDecoder
from sam2.modeling.sam.transformer import TwoWayTransformer


def asked(prompts: int = 1) -> dict[str, object]:
    make = torch.Generator().manual_seed(3)
    return {
        "image_embeddings": torch.randn(1, 96, 4, 4, generator=make),
        "high_res_features": [torch.randn(1, 12, 16, 16, generator=make), torch.randn(1, 24, 8, 8, generator=make)],
        "sparse_prompt_embeddings": torch.randn(prompts, 2, 96, generator=make),
        "dense_prompt_embeddings": torch.zeros(1, 96, 1, 1).expand(prompts, 96, 4, 4),
        "image_pe": torch.randn(1, 96, 4, 4, generator=make),
    }


def ask(decoder: MaskDecoder, *, multimask: bool, prompts: int = 1) -> Decoded:
    return decoder(**asked(prompts), multimask_output=multimask)


@pytest.fixture
def decoder() -> MaskDecoder:
    torch.manual_seed(0)
    return MaskDecoder(transformer_dim=96, transformer=TwoWayTransformer(2, 96, 8, 256)).eval()


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
    decoder.dynamic_multimask_via_stability, decoder.dynamic_multimask_stability_delta = True, 1e3
    replaced = ask(decoder, multimask=False)
    torch.testing.assert_close(replaced.mask_logits_BMHW[0, 0], three.mask_logits_BMHW[0, best])
    torch.testing.assert_close(replaced.predicted_iou_BM[0, 0], three.predicted_iou_BM[0, best])
    torch.testing.assert_close(replaced.tokens_BMC, plain.tokens_BMC)


def test_a_stable_single_mask_stays(decoder: MaskDecoder) -> None:
    plain = ask(decoder, multimask=False)
    decoder.dynamic_multimask_via_stability, decoder.dynamic_multimask_stability_delta = True, 0.0
    torch.testing.assert_close(ask(decoder, multimask=False).mask_logits_BMHW, plain.mask_logits_BMHW)


def test_an_empty_single_mask_counts_as_stable(decoder: MaskDecoder) -> None:
    decoder.dynamic_multimask_via_stability = True
    logits = torch.full((1, 4, 2, 2), -9.0)
    logits[:, 1:] = 9.0
    kept, _ = decoder._dynamic_multimask_via_stability(logits, torch.rand(1, 4))
    assert torch.equal(kept, logits[:, :1])


def test_in_training_a_single_mask_is_never_replaced(decoder: MaskDecoder) -> None:
    plain = ask(decoder, multimask=False)
    decoder.dynamic_multimask_via_stability, decoder.dynamic_multimask_stability_delta = True, 1e3
    decoder.train()
    torch.testing.assert_close(ask(decoder, multimask=False).mask_logits_BMHW, plain.mask_logits_BMHW)


def test_fine_maps_are_needed(decoder: MaskDecoder) -> None:
    with pytest.raises(ValueError, match="high_res_features is None"):
        decoder(torch.zeros(1, 96, 4, 4), torch.zeros(1, 96, 4, 4), torch.zeros(1, 2, 96), torch.zeros(1, 96, 4, 4), True)


def test_the_threshold_of_stability_acts_when_it_is_set(decoder: MaskDecoder) -> None:
    plain = ask(decoder, multimask=False)
    decoder.dynamic_multimask_via_stability, decoder.dynamic_multimask_stability_thresh = True, -1.0
    torch.testing.assert_close(ask(decoder, multimask=False).mask_logits_BMHW, plain.mask_logits_BMHW)
    decoder.dynamic_multimask_stability_thresh = 2.0
    assert not torch.allclose(ask(decoder, multimask=False).mask_logits_BMHW, plain.mask_logits_BMHW)


def test_a_pointer_may_be_made_from_the_single_mask_token_alone(decoder: MaskDecoder) -> None:
    single = ask(decoder, multimask=False).tokens_BMC
    decoder.use_multimask_token_for_obj_ptr = False
    torch.testing.assert_close(ask(decoder, multimask=True).tokens_BMC, single)


def test_all_four_masks_can_be_had(decoder: MaskDecoder) -> None:
    masks, iou, tokens, present = decoder.predict_masks(**asked(prompts=2), repeat_image=True)
    assert (masks.shape, iou.shape, tokens.shape, present.shape) == ((2, 4, 16, 16), (2, 4), (2, 4, 96), (2, 1))
    for multimask, columns in ((False, slice(0, 1)), (True, slice(1, 4))):
        answer = ask(decoder, multimask=multimask, prompts=2)
        torch.testing.assert_close(masks[:, columns], answer.mask_logits_BMHW)
        torch.testing.assert_close(iou[:, columns], answer.predicted_iou_BM)


@pytest.mark.parametrize("place", [0, 1, 2, 3, 4])
def test_each_layer_of_the_enlargement_is_called(decoder: MaskDecoder, place: int) -> None:
    seen: list[int] = []
    expected = ask(decoder, multimask=True).mask_logits_BMHW
    decoder.output_upscaling[place].register_forward_hook(lambda *_: seen.append(place))
    torch.testing.assert_close(ask(decoder, multimask=True).mask_logits_BMHW, expected)
    assert seen == [place]


def test_a_replaced_layer_of_the_enlargement_acts(decoder: MaskDecoder) -> None:
    class Nothing(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.new_zeros(x.shape[0], 12, 2 * x.shape[2], 2 * x.shape[3])

    before = ask(decoder, multimask=True).mask_logits_BMHW
    decoder.output_upscaling[3] = Nothing()
    assert not torch.allclose(ask(decoder, multimask=True).mask_logits_BMHW, before)
