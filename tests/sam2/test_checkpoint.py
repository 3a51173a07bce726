"""Checkpoints load strictly; one that does not fit says what it looks like."""

import hashlib
import pickle
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from sam2 import checkpoint
from sam2.build_sam import build_sam2
from sam2.checkpoint import FOLDER, embedded_weights, guess_variant, read_weights
from sam2.modeling.config import ModelConfig
from sam2.modeling.sam2_base import SAM2Base
from sam2.variants import NANO, VARIANTS


@pytest.fixture(scope="module")
def weights(nano: SAM2Base) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in nano.state_dict().items()}


def build(path: Path) -> SAM2Base:
    return build_sam2("sam2.1_nano", path, device="cpu")


@pytest.mark.parametrize("kind", ["released", "bare", "safetensors", "half"])
def test_every_format_loads(tmp_path: Path, weights: dict[str, torch.Tensor], kind: str) -> None:
    path = tmp_path / ("weights.safetensors" if kind == "safetensors" else "weights.pt")
    if kind == "safetensors":
        save_file(weights, path)
    else:
        held = {name: tensor.half() for name, tensor in weights.items()} if kind == "half" else weights
        torch.save(held if kind == "bare" else {"model": held}, path)
    loaded = build(path).state_dict()
    for name, tensor in weights.items():
        torch.testing.assert_close(loaded[name], tensor, atol=2e-3 if kind == "half" else 0, rtol=2e-3 if kind == "half" else 0)


def without_two(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in weights.items() if not name.startswith("obj_ptr_tpos_proj")}


def with_one_more(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return weights | {"image_encoder.extra": torch.zeros(1)}


def with_another_shape(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return weights | {"no_mem_embed": torch.zeros(1, 1, 95)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without_two, r"missing \(2\): obj_ptr_tpos_proj.weight, obj_ptr_tpos_proj.bias"),
        (with_one_more, r"not expected \(1\): image_encoder.extra"),
        (with_another_shape, r"no_mem_embed is \(1, 1, 95\), expected \(1, 1, 96\)"),
    ],
)
def test_loading_is_strict(
    tmp_path: Path,
    weights: dict[str, torch.Tensor],
    change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]],
    said: str,
) -> None:
    path = tmp_path / "weights.pt"
    torch.save({"model": change(weights)}, path)
    with pytest.raises(ValueError, match=said) as refusal:
        build(path)
    assert str(path) in str(refusal.value)
    assert "does not fit sam2.1_nano" in str(refusal.value)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_variant_of_a_file_is_guessed_from_its_shapes(variant: str, hollow: Callable[[ModelConfig], SAM2Base]) -> None:
    assert guess_variant(hollow(VARIANTS[variant]).state_dict()) == variant


def test_another_variant_s_file_is_named(tmp_path: Path, hollow: Callable[[ModelConfig], SAM2Base]) -> None:
    path = tmp_path / "weights.pt"
    torch.save({"model": hollow(VARIANTS["sam2_hiera_t"]).state_dict()}, path)
    with pytest.raises(ValueError, match="does not fit sam2.1_hiera_t; it looks like sam2_hiera_t. missing"):
        build_sam2("sam2.1_hiera_t", path, device="cpu")


def test_a_file_of_something_else_looks_like_no_variant(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save({"model": {"fc.weight": torch.zeros(2, 2)}}, path)
    with pytest.raises(ValueError, match="none of the known variants") as refusal:
        build(path)
    assert "and 368 more" in str(refusal.value)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent.pt"):
        build(tmp_path / "absent.pt")


@pytest.mark.parametrize("name", ["broken.pt", "broken.safetensors"])
@pytest.mark.parametrize("content", [b"", b"not a checkpoint at all" * 20])
def test_a_broken_file_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} cannot be read"):
        read_weights(path)


def test_bytes_that_read_as_any_opcode_are_named(tmp_path: Path) -> None:
    path = tmp_path / "noise.pt"
    noise = random.Random(0)
    for opcode in range(256):
        path.write_bytes(bytes([opcode]) + noise.randbytes(63))
        with pytest.raises(ValueError, match=r"noise.pt (cannot be read|holds no state dict)"):
            read_weights(path)
        path.write_bytes(b"\x80\x02" + bytes([opcode]) + noise.randbytes(63))
        with pytest.raises(ValueError, match=r"noise.pt (cannot be read|holds no state dict)"):
            read_weights(path)


def test_a_truncated_checkpoint_is_named(tmp_path: Path, weights: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "cut.pt"
    torch.save({"model": weights}, path)
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(ValueError, match="cut.pt cannot be read"):
        read_weights(path)


class Trap:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("/nonexistent/trap"),))


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    path = tmp_path / "trap.pt"
    torch.save({"model": Trap()}, path)
    with pytest.raises(ValueError, match="cannot be read"):
        read_weights(path)
    path.write_bytes(pickle.dumps(Trap(), protocol=2))
    with pytest.raises(ValueError, match="cannot be read"):
        read_weights(path)


@pytest.mark.parametrize("held", [{"epoch": 3}, [1, 2], {"model": {"a": 1}}, {}])
def test_a_file_without_a_state_dict_is_refused(tmp_path: Path, held: object) -> None:
    path = tmp_path / "other.pt"
    torch.save(held, path)
    with pytest.raises(ValueError, match="holds no state dict"):
        read_weights(path)


def test_loading_under_inference_mode_leaves_weights_that_can_be_trained(
    tmp_path: Path, weights: dict[str, torch.Tensor]
) -> None:
    path = tmp_path / "weights.pt"
    torch.save({"model": weights}, path)
    with torch.inference_mode():
        model = build(path)
    assert NANO.image_size == model.image_size
    assert not any(p.is_inference() for p in model.parameters())
    assert all(p.requires_grad for p in model.parameters())


def test_the_file_is_the_one_its_digest_names() -> None:
    path = embedded_weights("sam2.1_nano")
    assert path is not None
    digest, name = path.with_suffix(".sha256").read_text().split()
    assert (name, digest) == (path.name, hashlib.sha256(path.read_bytes()).hexdigest())
    assert path.stat().st_size <= 8 * 2**20


def test_other_variants_have_none() -> None:
    assert embedded_weights("sam2.1_hiera_t") is None


def test_a_changed_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = bytearray((FOLDER / "sam2.1_nano.safetensors").read_bytes())
    held[-1] ^= 1
    (tmp_path / "sam2.1_nano.safetensors").write_bytes(held)
    (tmp_path / "sam2.1_nano.sha256").write_text((FOLDER / "sam2.1_nano.sha256").read_text())
    monkeypatch.setattr(checkpoint, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match="Install the package again"):
        embedded_weights("sam2.1_nano")
