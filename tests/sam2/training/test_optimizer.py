"""Which weights move how: rates, decay, and Muon for matrices."""

import math
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sam2.training.batches import Batches
from sam2.training.optimizer import MOMENTUM, RMS_OF_ADAMW, Muon, learning_rate, orthogonal
from sam2.training.recipe import Stage
from sam2.training.trainer import do_step, resume
from tests.sam2.training.tiny import RECIPE, SCENES


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Sums in one order, so that equal steps have equal results."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_learning_rate_rises_then_falls() -> None:
    stage = Stage("s", steps=12, frames=1, clips=1, objects=1, learning_rate=2.0, warmup=2, last_share=0.25)
    rates = [learning_rate(stage, place) for place in range(12)]
    assert rates[:3] == [1.0, 2.0, 2.0]
    assert rates[7] == pytest.approx(2.0 * (0.25 + 0.75 * 0.5))       # half way down
    assert rates[11] == pytest.approx(2.0 * (0.25 + 0.75 * 0.5 * (1 + math.cos(0.9 * math.pi))))
    assert rates[2:] == sorted(rates[2:], reverse=True)


def test_vectors_do_not_decay_and_the_encoder_has_its_own_rate(tmp_path: Path) -> None:
    recipe = replace(RECIPE, encoder_share=0.6, weight_decay=0.3)
    run = resume(recipe, tmp_path, device="cpu")
    place = {id(p): group for group in run.optimizer.param_groups for p in group["params"]}
    parameters = dict(run.network.named_parameters())
    assert set(place) == {id(p) for p in parameters.values()}
    assert place[id(parameters["image_encoder.neck.convs.0.conv.weight"])]["share"] == 0.6
    elsewhere = place[id(parameters["mask_downsample.weight"])]
    assert (elsewhere["share"], elsewhere["weight_decay"]) == (1.0, 0.3)
    assert place[id(parameters["mask_downsample.bias"])]["weight_decay"] == 0.0
    do_step(recipe, run, Batches(SCENES, 0, 1, 2, 1, 64)[0])
    assert place[id(parameters["image_encoder.neck.convs.0.conv.weight"])]["lr"] == pytest.approx(0.6 * 0.5e-3)


def test_muon_moves_matrices_and_adamw_the_rest(tmp_path: Path) -> None:
    recipe = replace(RECIPE, optimizer="muon")
    run = resume(recipe, tmp_path, device="cpu")
    parameters = dict(run.network.named_parameters())
    adamw, muon = ({id(p) for group in part.param_groups for p in group["params"]} for part in run.optimizer.parts)
    assert adamw | muon == {id(p) for p in parameters.values()}
    assert not adamw & muon
    assert id(parameters["image_encoder.trunk.blocks.0.attn.qkv.weight"]) in muon
    for name in ("image_encoder.neck.convs.0.conv.weight", "sam_mask_decoder.iou_token.weight", "no_mem_embed"):
        assert id(parameters[name]) in adamw


@pytest.mark.usefixtures("one_thread")
def test_muons_step_goes_in_more_directions_than_adamws(tmp_path: Path) -> None:
    name, spread = "image_encoder.trunk.blocks.0.attn.qkv.weight", {}
    for optimizer in ("adamw", "muon"):
        recipe = replace(RECIPE, optimizer=optimizer, weight_decay=0.0)
        run = resume(recipe, tmp_path, device="cpu")
        before = run.network.get_parameter(name).detach().clone()
        do_step(recipe, run, Batches(SCENES, 0, 1, 2, 2, 64)[0])
        values = torch.linalg.svdvals(run.network.get_parameter(name).detach() - before)
        spread[optimizer] = float(values.sum() / values.max())
    assert spread["muon"] > 1.5 * spread["adamw"]


@pytest.mark.usefixtures("one_thread")
def test_muon_goes_on_where_it_stopped(tmp_path: Path) -> None:
    recipe = replace(RECIPE, optimizer="muon")
    run = resume(recipe, tmp_path, device="cpu")
    do_step(recipe, run, Batches(SCENES, 0, 1, 2, 2, 64)[0])
    again = resume(recipe, tmp_path, device="cpu")
    again.optimizer.load_state_dict(deepcopy(run.optimizer.state_dict()))
    again.network.load_state_dict(run.network.state_dict())
    again.step = run.step
    for each in (run, again):
        do_step(recipe, each, Batches(SCENES, 0, 1, 2, 2, 64)[1])
    left, right = run.network.state_dict(), again.network.state_dict()
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_an_unknown_optimizer_is_named() -> None:
    with pytest.raises(ValueError, match="optimizer='sgd'"):
        replace(RECIPE, optimizer="sgd")


@pytest.mark.parametrize("shape", [(24, 96), (96, 24)])
def test_singular_values_become_alike(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonal(matrix))
    assert orthogonal(matrix).dtype == torch.float32
    assert 0.6 < values.min() <= values.max() < 1.3


def test_a_step_is_the_orthogonal_momentum_and_decay_is_apart_from_it() -> None:
    weight = torch.nn.Parameter(torch.ones(4, 9))
    weight.grad = torch.randn(4, 9, generator=torch.Generator().manual_seed(1))
    update = orthogonal(weight.grad * (1 - MOMENTUM + (1 - MOMENTUM) * MOMENTUM))
    Muon([weight], lr=0.1, weight_decay=0.5).step()
    torch.testing.assert_close(weight.data, torch.full((4, 9), 0.95) - 0.1 * RMS_OF_ADAMW * math.sqrt(9) * update)


def test_what_is_no_matrix_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\[\(3,\)\].*matrices"):
        Muon([torch.nn.Parameter(torch.ones(3))], lr=0.1)
