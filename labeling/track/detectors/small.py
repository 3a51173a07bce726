"""The detector that is in the package: FCOS on MobileNetV3-small, one class, 1.2 million numbers, trained on drawn scenes.

Sources: Tian et al. 2019, "FCOS"; Howard et al. 2019, "Searching for MobileNetV3"; both as `torchvision` has them.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from labeling.errors import BadConfiguration

if TYPE_CHECKING:
    from torchvision.models.detection import FCOS

WEIGHTS = Path(__file__).parent / "small.safetensors"
CATEGORY = "object"
SIDE = 256                  # pixels: frames are enlarged or reduced until their longer side has so many
_CHANNELS = 64              # of each map of the pyramid, and of the heads
_HEAD_CONVOLUTIONS = 2
_STAGES = {"3": (24, 8), "8": (48, 16), "12": (576, 32)}    # layers of the trunk: their channels and strides


def build_small_detector() -> "FCOS":
    """Return the network with random weights; nothing is fetched. Label 1 is an object, 0 the ground."""
    from torchvision.models import mobilenet_v3_small
    from torchvision.models.detection import FCOS
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.backbone_utils import BackboneWithFPN
    from torchvision.models.detection.fcos import FCOSHead

    layers = {layer: str(number) for number, layer in enumerate(_STAGES)}
    channels = [channels for channels, _ in _STAGES.values()]
    backbone = BackboneWithFPN(mobilenet_v3_small(weights=None).features, layers, channels, _CHANNELS)
    strides = [stride for _, stride in _STAGES.values()]
    sizes = tuple((stride,) for stride in (*strides, 2 * strides[-1]))
    anchors = AnchorGenerator(sizes=sizes, aspect_ratios=((1.0,),) * len(sizes))
    head = FCOSHead(_CHANNELS, anchors.num_anchors_per_location()[0], 2, num_convs=_HEAD_CONVOLUTIONS)
    return FCOS(
        backbone, 2, min_size=SIDE, max_size=SIDE, anchor_generator=anchors, head=head, score_thresh=0.05, nms_thresh=0.5,
    )


def load_small_detector(path: Path = WEIGHTS, *, device: str = "cpu") -> "FCOS":
    """Return the network with the weights of a file, ready to detect; BadConfiguration where they are not its own."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    network = build_small_detector()
    try:
        weights = load_file(path)
        network.load_state_dict({name: v.float() if v.is_floating_point() else v for name, v in weights.items()})
    except (OSError, SafetensorError, RuntimeError) as error:
        raise BadConfiguration(f"detector weights {str(path)!r} ({error}); expected a file of `seed train-detector`") from error
    return network.eval().to(device)


def save_small_detector(network: "FCOS", path: Path) -> None:
    """Write the weights in half precision."""
    from safetensors.torch import save_file

    state = network.state_dict()
    save_file({name: v.to(torch.float16) if v.is_floating_point() else v for name, v in state.items()}, path)
