"""Ways in which programs use the released package on images: each in a few lines, with what must come of it."""

from collections.abc import Callable
from pathlib import Path

import hydra
import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor, nn

from sam2.build_sam import build_sam2
from sam2.modeling.sam2_base import SAM2Base
from sam2.sam2_image_predictor import SAM2ImagePredictor
from sam2.utils.transforms import SAM2Transforms

SMALL = ["++model.image_size=64"]
IMAGE = np.random.default_rng(0).integers(0, 255, (48, 80, 3), np.uint8)
BOXES = np.array([[8, 8, 40, 40], [20, 4, 70, 44]], np.float32)


@pytest.fixture
def model() -> SAM2Base:
    return build_sam2("configs/sam2.1/sam2.1_nano.yaml", device="cpu", hydra_overrides_extra=SMALL)


@pytest.fixture
def predictor(model: SAM2Base) -> SAM2ImagePredictor:
    return SAM2ImagePredictor(model)


def test_text_to_masks_composes_the_configuration_itself(model: SAM2Base, tmp_path: Path) -> None:
    """Boxes of a detector in a batch; configuration, weights and device by the program's own hand."""
    path = tmp_path / "weights.pt"
    torch.save({"model": model.state_dict()}, path)
    with hydra.initialize_config_module("sam2", version_base="1.2"):
        config = hydra.compose(config_name="configs/sam2.1/sam2.1_nano.yaml", overrides=SMALL)
    OmegaConf.resolve(config)
    own = instantiate(config.model, _recursive_=True)
    missing, unexpected = own.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["model"])
    assert not missing
    assert not unexpected
    predictor = SAM2ImagePredictor(own.to("cpu").eval())
    predictor.set_image_batch([IMAGE, IMAGE[:, ::-1].copy()])
    masks, scores, logits = predictor.predict_batch(box_batch=[BOXES, BOXES[:1]], multimask_output=False)
    assert [np.squeeze(m, axis=1).shape if m.ndim > 3 else m.shape for m in masks] == [(2, 48, 80), (1, 48, 80)]
    predictor.set_image(IMAGE)
    alone, _, _ = predictor.predict(box=BOXES, multimask_output=False)
    assert np.array_equal(alone, masks[0])


def test_a_detector_s_boxes_under_autocast(predictor: SAM2ImagePredictor) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        predictor.set_image(IMAGE)
        masks, scores, logits = predictor.predict(point_coords=None, point_labels=None, box=BOXES, multimask_output=False)
    assert (masks.shape, scores.shape, logits.shape) == ((2, 1, 48, 80), (2, 1), (2, 1, 16, 16))
    assert scores.dtype == np.float32


def test_a_server_keeps_the_features_of_images_and_puts_them_back(predictor: SAM2ImagePredictor) -> None:
    kept = {}
    for name, image in (("first", IMAGE), ("second", 255 - IMAGE)):
        predictor.set_image(image)
        kept[name] = (predictor._features, predictor._orig_hw, predictor.predict(box=BOXES[0], multimask_output=True))
    predictor.reset_predictor()
    for features, size, (masks, _, _) in kept.values():
        predictor._is_image_set, predictor._is_batch = True, False
        predictor._features, predictor._orig_hw = features, size
        again, _, low_res = predictor.predict(box=BOXES[0], multimask_output=True)
        assert np.array_equal(again, masks)
        refined, _, _ = predictor.predict(box=BOXES[0], mask_input=low_res[:1], multimask_output=False)
        assert refined.shape == (1, 48, 80)


def test_a_map_program_prompts_with_tensors_in_model_pixels(predictor: SAM2ImagePredictor) -> None:
    predictor.set_image(IMAGE)
    size = predictor._orig_hw[-1]
    boxes = predictor._transforms.transform_boxes(torch.from_numpy(BOXES), normalize=True, orig_hw=size)
    masks, _, _ = predictor._predict(None, None, boxes, multimask_output=False, return_logits=True)
    expected, _, _ = predictor.predict(box=BOXES, multimask_output=False, return_logits=True)
    np.testing.assert_allclose(masks.numpy(), expected, rtol=1e-4, atol=1e-4)
    assert predictor.get_image_embedding().shape == (1, 96, 4, 4)


def test_training_goes_through_the_predictor_s_parts(predictor: SAM2ImagePredictor) -> None:
    predictor.model.sam_mask_decoder.train(True)
    predictor.model.sam_prompt_encoder.train(True)
    predictor.set_image(IMAGE)
    _, coords, labels, _ = predictor._prep_prompts([[[30, 20]], [[50, 30]]], [[1], [1]], None, None, True)
    tokens, prompt = predictor.model.sam_prompt_encoder(points=(coords, labels), boxes=None, masks=None)
    low_res, scores, _, _ = predictor.model.sam_mask_decoder(
        image_embeddings=predictor._features["image_embed"][-1].unsqueeze(0),
        image_pe=predictor.model.sam_prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=tokens,
        dense_prompt_embeddings=prompt,
        multimask_output=True,
        repeat_image=True,
        high_res_features=[level[-1].unsqueeze(0) for level in predictor._features["high_res_feats"]],
    )
    masks = predictor._transforms.postprocess_masks(low_res, predictor._orig_hw[-1])
    assert masks.shape == (2, 3, 48, 80)
    (masks.sigmoid().mean() + scores.mean()).backward()
    assert predictor.model.sam_mask_decoder.iou_prediction_head.layers[0].weight.grad.abs().max() > 0


class Encoder(nn.Module):
    """An exporter's image encoder: the released parts, one by one."""

    def __init__(self, model: SAM2Base) -> None:
        super().__init__()
        self.model, self.image_encoder, self.no_mem_embed = model, model.image_encoder, model.no_mem_embed

    def forward(self, image: Tensor) -> list[Tensor]:
        answer = self.image_encoder(image)
        for level, conv in enumerate((self.model.sam_mask_decoder.conv_s0, self.model.sam_mask_decoder.conv_s1)):
            answer["backbone_fpn"][level] = conv(answer["backbone_fpn"][level])
        maps = answer["backbone_fpn"][-self.model.num_feature_levels :]
        places = answer["vision_pos_enc"][-self.model.num_feature_levels :]
        flat = [x.flatten(2).permute(2, 0, 1) for x in maps]
        flat[-1] = flat[-1] + self.no_mem_embed
        return [x.permute(1, 2, 0).reshape(1, -1, *place.shape[-2:]) for x, place in zip(flat, places, strict=True)]


class Decoder(nn.Module):
    """An exporter's decoder: prompts embedded by hand, all four masks."""

    def __init__(self, model: SAM2Base) -> None:
        super().__init__()
        self.encoder, self.decoder, self.side = model.sam_prompt_encoder, model.sam_mask_decoder, model.image_size

    def forward(self, maps: list[Tensor], points: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        embedded = self.encoder.pe_layer._pe_encoding((points + 0.5) / self.side)
        labels = labels.unsqueeze(-1).expand_as(embedded)
        embedded = embedded * (labels != -1) + self.encoder.not_a_point_embed.weight * (labels == -1)
        for kind in range(self.encoder.num_point_embeddings):
            embedded = embedded + self.encoder.point_embeddings[kind].weight * (labels == kind)
        height, width = self.encoder.image_embedding_size
        dense = self.encoder.no_mask_embed.weight.reshape(1, -1, 1, 1).expand(len(points), -1, height, width)
        masks, iou, _, _ = self.decoder.predict_masks(
            image_embeddings=maps[-1],
            image_pe=self.encoder.get_dense_pe(),
            sparse_prompt_embeddings=embedded,
            dense_prompt_embeddings=dense,
            repeat_image=False,
            high_res_features=maps[:2],
        )
        return masks, iou


def test_an_exporter_s_modules_answer_as_the_predictor(model: SAM2Base, predictor: SAM2ImagePredictor) -> None:
    predictor.set_image(IMAGE)
    expected, scores, low_res = predictor.predict(np.array([[30, 20]]), np.array([1]), multimask_output=True)
    with torch.no_grad():
        maps = Encoder(model)(predictor._transforms(IMAGE)[None])
        points = torch.tensor([[[30 / 80, 20 / 48], [0.0, 0.0]]]) * 64
        masks, iou = Decoder(model)(maps, points, torch.tensor([[1, -1]]))
    np.testing.assert_allclose(iou[0, 1:].numpy(), scores, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(masks[0, 1:].clamp(-32, 32).numpy(), low_res, rtol=1e-3, atol=1e-2)


def test_a_trunk_is_taken_out_and_adapted(model: SAM2Base) -> None:
    """A segmentation network on the trunk alone: the rest thrown away, blocks wrapped in small adapters that learn."""

    class Adapted(nn.Module):
        def __init__(self, block: nn.Module) -> None:
            super().__init__()
            dim = block.attn.qkv.in_features
            self.block, self.learnt = block, nn.Sequential(nn.Linear(dim, 8), nn.GELU(), nn.Linear(8, dim))

        def forward(self, x: Tensor) -> Tensor:
            return self.block(x + self.learnt(x))

    for name in ("sam_mask_decoder", "sam_prompt_encoder", "memory_encoder", "memory_attention", "mask_downsample"):
        delattr(model, name)
    del model.obj_ptr_tpos_proj, model.obj_ptr_proj, model.image_encoder.neck
    trunk = model.image_encoder.trunk.requires_grad_(False)
    trunk.blocks = nn.Sequential(*[Adapted(block) for block in trunk.blocks])
    maps = trunk(torch.rand(1, 3, 96, 96))
    assert [tuple(x.shape) for x in maps] == [(1, 24 * 2**k, 24 >> k, 24 >> k) for k in range(4)]
    sum(x.mean() for x in maps).backward()
    assert all(block.learnt[0].weight.grad is not None for block in trunk.blocks)


def lora(layer: nn.Module) -> nn.Module:
    class LoRA(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer
            self.down, self.up = nn.Linear(layer.in_features, 2, bias=False), nn.Linear(2, layer.out_features, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x) + self.up(self.down(x))

    return LoRA()


@pytest.mark.parametrize("kind", [nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.LayerNorm])
def test_every_layer_that_takes_part_is_called(model: SAM2Base, kind: type[nn.Module]) -> None:
    """Programs hook, wrap, count and quantise layers by walking over the network."""
    seen: set[str] = set()

    def watch(name: str) -> Callable[..., None]:
        return lambda *_: seen.add(name)

    watched = {name: layer for name, layer in model.named_modules() if type(layer) is kind}
    for name, layer in watched.items():
        layer.register_forward_hook(watch(name))
    with torch.inference_mode():
        features = model.encode_image(torch.rand(1, 3, 64, 64))
        model.decode(features.vision_BChw, features.high_res, multimask=True, mask_logits_B1HW=torch.zeros(1, 1, 16, 16))
        pointer = model.pointer_of_mask(features, torch.ones(1, 1, 64, 64))
        model.sam_mask_decoder.predict_masks(
            features.vision_BChw, model.sam_prompt_encoder.get_dense_pe(), torch.zeros(1, 1, 96), torch.zeros(1, 96, 4, 4),
            high_res_features=features.high_res,
        )  # fmt: skip
        memory = model.encode_memory(
            features.vision_BChw, torch.zeros(1, 1, 64, 64), torch.zeros(1, 1), from_prompt=False
        )
        model.condition_on_memory(features, [memory], [0], pointer[:, None], [1])
    assert set(watched) - seen == set()


def test_lora_on_all_linear_layers_acts(model: SAM2Base) -> None:
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        before = model.decode(model.encode_image(image).vision_BChw, model.encode_image(image).high_res, multimask=True)
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if type(layer) is nn.Linear:
                setattr(parent, name, lora(layer))
    with torch.inference_mode():
        features = model.encode_image(image)
        after = model.decode(features.vision_BChw, features.high_res, multimask=True)
    assert not torch.allclose(before.mask_logits_BMHW, after.mask_logits_BMHW)


def test_transforms_are_used_by_themselves() -> None:
    transforms = SAM2Transforms(resolution=32, mask_threshold=0.0)
    pixels = transforms.transforms(transforms.to_tensor(IMAGE))
    assert torch.equal(pixels, transforms(IMAGE))
    assert torch.equal(transforms.transforms(torch.stack([transforms.to_tensor(IMAGE)] * 2)), torch.stack([pixels] * 2))
    back = pixels * torch.tensor(transforms.std)[:, None, None] + torch.tensor(transforms.mean)[:, None, None]
    assert 0 <= back.min() <= back.max() <= 1
