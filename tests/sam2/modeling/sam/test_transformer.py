"""The decoder's transformer: one image serves several prompts, and both sides learn of each other."""

import torch

from sam2.modeling.sam.transformer import TwoWayTransformer


def test_one_image_serves_several_prompts() -> None:
    transformer = TwoWayTransformer(2, 96, 8, 256)
    image, place, prompts = torch.randn(1, 96, 3, 3), torch.randn(1, 96, 3, 3), torch.randn(3, 5, 96)
    tokens, images = transformer(image, place, prompts)
    assert (tokens.shape, images.shape) == ((3, 5, 96), (3, 9, 96))
    for row in range(3):
        alone_tokens, alone_image = transformer(image, place, prompts[row : row + 1])
        torch.testing.assert_close(tokens[row], alone_tokens[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(images[row], alone_image[0], rtol=1e-4, atol=1e-5)


def test_only_the_first_block_s_tokens_attend_to_each_other_bare() -> None:
    transformer = TwoWayTransformer(2, 96, 8, 256)
    assert [layer.skip_first_layer_pe for layer in transformer.layers] == [True, False]
