"""Every case of the parity folder beside the repository, one by one: prompts on real frames and the released answers.

Many cases follow the same frames with the same weights and differ in what is asked. Their image features are computed
once, by the first of them, or else the cases would be a third of the suite.
"""

import importlib.util
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from weakref import WeakKeyDictionary

import pytest
from torch import Tensor

from sam2.modeling.sam2_base import ImageFeatures, SAM2Base

PARITY = Path(__file__).resolve().parents[3] / "shared" / "parity"
CASES = sorted(path.stem for path in (PARITY / "cases").glob("*.json"))


@pytest.fixture(scope="module")
def check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("parity_check", PARITY / "check.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def checksum(*tensors: Tensor) -> int:
    """CRC-32 of all values, in order."""
    crc = 0
    for tensor in tensors:
        crc = zlib.crc32(tensor.detach().contiguous().numpy(), crc)
    return crc


@pytest.fixture(scope="module", autouse=True)
def shared_features() -> Iterator[None]:
    """Remember what the image encoder answered, by its weights and its input."""
    encode_image = SAM2Base.encode_image
    known: dict[tuple[int, int], ImageFeatures] = {}
    weights: WeakKeyDictionary[SAM2Base, int] = WeakKeyDictionary()

    def remembered(self: SAM2Base, image_B3SS: Tensor) -> ImageFeatures:
        if self not in weights:
            decoder = self.sam_mask_decoder
            parts = (self.image_encoder, decoder.conv_s0, decoder.conv_s1)
            weights[self] = checksum(*(p for part in parts for p in part.parameters()))
        key = weights[self], checksum(image_B3SS)
        if key not in known:
            known[key] = encode_image(self, image_B3SS)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SAM2Base, "encode_image", remembered)
        yield


@pytest.mark.skipif(not CASES, reason=f"no parity cases at {PARITY}")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_equals_the_released_answers(check: ModuleType, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    status = check.main({name})
    assert status == 0, capsys.readouterr().out
