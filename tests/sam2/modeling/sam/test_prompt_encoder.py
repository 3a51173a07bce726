"""Prompts become tokens: what each label adds, when a padding point is appended, what a mask prompt replaces."""

import pytest
import torch

from sam2.modeling.sam.prompt_encoder import PromptEncoder


@pytest.fixture
def encoder() -> PromptEncoder:
    return PromptEncoder(96, (4, 4), (64, 64), 16)


def test_a_padding_point_follows_points_without_boxes(encoder: PromptEncoder) -> None:
    points = (torch.tensor([[[10.0, 20.0]]]), torch.tensor([[1]]))
    tokens, _ = encoder(points=points, boxes=None, masks=None)
    assert tokens.shape == (1, 2, 96)
    assert torch.equal(tokens[0, 1], encoder.not_a_point_embed.weight[0])
    with_box, _ = encoder(points=points, boxes=torch.tensor([[1.0, 2, 30, 40]]), masks=None)
    assert with_box.shape == (1, 3, 96)
    torch.testing.assert_close(with_box[0, 0], tokens[0, 0])


def test_each_label_adds_its_own_embedding(encoder: PromptEncoder) -> None:
    points = torch.tensor([[[10.0, 20.0]]]).expand(1, 5, 2)
    tokens, _ = encoder(points=(points, torch.tensor([[0, 1, 2, 3, -1]])), boxes=None, masks=None)
    place = encoder.pe_layer._pe_encoding((points[:, :1] + 0.5) / 64)[0, 0]
    for label in range(4):
        torch.testing.assert_close(tokens[0, label], place + encoder.point_embeddings[label].weight[0])
    assert torch.equal(tokens[0, 4], encoder.not_a_point_embed.weight[0])


def test_a_box_is_its_corners(encoder: PromptEncoder) -> None:
    box = torch.tensor([[1.0, 2, 30, 40]])
    corners = (box.view(1, 2, 2), torch.tensor([[2, 3]]))
    tokens, _ = encoder(points=None, boxes=box, masks=None)
    as_points, _ = encoder(points=corners, boxes=None, masks=None)
    torch.testing.assert_close(tokens, as_points[:, :2])


def test_a_mask_prompt_takes_the_place_of_the_embedding_of_none(encoder: PromptEncoder) -> None:
    tokens, none = encoder(points=None, boxes=None, masks=None)
    assert tokens.shape == (1, 0, 96)
    assert torch.equal(none[0, :, 3, 2], encoder.no_mask_embed.weight[0])
    _, some = encoder(points=None, boxes=None, masks=torch.randn(2, 1, 16, 16))
    assert some.shape == (2, 96, 4, 4)
