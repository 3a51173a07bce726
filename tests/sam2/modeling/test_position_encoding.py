"""Tables of position: known values, and tables that serve training after inference."""

import math

import pytest
import torch

from sam2.modeling.position_encoding import (
    PositionEmbeddingRandom,
    PositionEmbeddingSine,
    axial_rotations,
    rotate,
    sine_map,
    sine_of_offsets,
)

CPU = torch.device("cpu")


def test_the_sine_map_says_y_then_x() -> None:
    table = sine_map((4, 4), 8, CPU)[0]
    assert table.shape == (8, 4, 4)
    assert torch.equal(table[:4, :, 0], table[:4, :, 3]), "the first half does not change with x"
    assert torch.equal(table[4:, 0], table[4:, 3]), "the second half does not change with y"
    turn = 2 * math.pi * 2 / 4
    expected = [math.sin(turn), math.cos(turn), math.sin(turn / 100), math.cos(turn / 100)]
    torch.testing.assert_close(table[:4, 1, 0], torch.tensor(expected), atol=1e-5, rtol=0)


def test_a_map_that_is_not_square_has_its_own_table() -> None:
    place = PositionEmbeddingSine(8)
    table = place(torch.zeros(3, 5, 4, 7))
    assert table.shape == (3, 8, 4, 7)
    assert torch.equal(table[0, :4, :, 0], sine_map((4, 4), 8, CPU)[0, :4, :, 0])
    assert torch.equal(table[0, 4:, 0], sine_map((7, 7), 8, CPU)[0, 4:, 0])


def test_cells_can_be_counted_as_they_are() -> None:
    counted = PositionEmbeddingSine(8, normalize=False)(torch.zeros(1, 5, 4, 4))
    assert counted[0, 0, 2, 0].item() == pytest.approx(math.sin(3))
    turned = PositionEmbeddingSine(8, scale=1.0, temperature=100)(torch.zeros(1, 5, 4, 4))
    assert turned[0, 2, 1, 0].item() == pytest.approx(math.sin(0.5 / 10), abs=1e-6)
    with pytest.raises(ValueError, match="needs normalize"):
        PositionEmbeddingSine(8, normalize=False, scale=1.0)


def test_offsets_are_sines_then_cosines() -> None:
    encoded = sine_of_offsets(torch.tensor([0.0, 0.5]), 8)
    assert encoded[0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    expected = [math.sin(0.5), math.sin(0.5), math.sin(0.005), math.sin(0.005)]
    torch.testing.assert_close(encoded[1, :4], torch.tensor(expected))


def test_rotations_keep_lengths_and_depend_on_distance_alone() -> None:
    rotations = axial_rotations(5, 16, CPU)
    query, key = torch.randn(1, 1, 16).expand(1, 25, 16), torch.randn(1, 1, 16).expand(1, 25, 16)
    turned_query, turned_key = rotate(query, rotations), rotate(key, rotations)
    torch.testing.assert_close(turned_query.norm(dim=2), query.norm(dim=2))
    products = (turned_query[0] @ turned_key[0].T).unflatten(0, (5, 5)).unflatten(2, (5, 5))
    torch.testing.assert_close(products[0, 0, 1, 2], products[2, 1, 3, 3])
    assert not torch.isclose(products[0, 0, 1, 2], products[0, 0, 2, 1])


def test_several_maps_are_turned_as_each_alone() -> None:
    rotations, x = axial_rotations(3, 8, CPU), torch.randn(2, 18, 8)
    turned = rotate(x, rotations)
    torch.testing.assert_close(turned[:, 9:], rotate(x[:, 9:], rotations))
    assert rotate(x.bfloat16(), rotations).dtype == torch.bfloat16


def test_the_grid_is_the_points_at_the_cells_centres() -> None:
    points = PositionEmbeddingRandom(6)
    grid = points((4, 5))
    assert grid.shape == (12, 4, 5)
    torch.testing.assert_close(grid[:, 1, 3], points._pe_encoding(torch.tensor([[[3.5 / 5, 1.5 / 4]]]))[0, 0])
    placed = points.forward_with_coords(torch.tensor([[[35.0, 15.0]]]), (40, 50))
    torch.testing.assert_close(grid[:, 1, 3], placed[0, 0])


def test_points_keep_full_precision_under_autocast() -> None:
    points, xy = PositionEmbeddingRandom(6)._pe_encoding, torch.rand(1, 5, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(points(xy), points(xy))
        rough = points(xy)
    assert torch.equal(rough, points(xy))


@pytest.mark.parametrize("make", [lambda: sine_map((6, 6), 4, CPU), lambda: axial_rotations(6, 8, CPU)])
def test_tables_made_in_inference_mode_serve_training(make: object) -> None:
    sine_map.cache_clear()
    axial_rotations.cache_clear()
    with torch.inference_mode():
        make()
    weight = torch.ones((), requires_grad=True)
    (make() * weight).abs().sum().backward()
    assert weight.grad is not None
