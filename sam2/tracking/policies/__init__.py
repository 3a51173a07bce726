"""Memory policies by name: each a module of pure functions of what is stored.

A policy says which entries a frame looks back at (`look_back`), which candidate is chosen (`choose`), what is handed on
from frame to frame (`carry`, where `CARRIES`), what is promoted (`settled`) and what a memory window must keep (`kept_maps`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from sam2.modeling.config import ModelConfig
from sam2.tracking.memory_bank import FrameEntry, Lookback, Vantage
from sam2.tracking.motion import Boxes, Chosen
from sam2.tracking.policies import dam4sam, sam2, samurai

__all__ = ["POLICIES", "Policy", "look_back", "policy_of"]


class Policy(Protocol):
    """What each module here defines."""

    CARRIES: bool

    def look_back(
        self, conditioning: Mapping[int, FrameEntry], others: Mapping[int, FrameEntry], vantage: Vantage, config: ModelConfig
    ) -> Lookback: ...
    def choose(self, predicted_iou_BM: Tensor, boxes: Boxes, carried: Sequence[Any], config: ModelConfig) -> Chosen: ...
    def carry(self, before: Any, entry: FrameEntry, frame: int, config: ModelConfig) -> Any: ...
    def settled(self, entry: FrameEntry, before: Any, frame: int, config: ModelConfig) -> FrameEntry: ...
    def kept_maps(self, others: Mapping[int, FrameEntry], vantage: Vantage, config: ModelConfig) -> set[int]: ...


POLICIES: Mapping[str, Policy] = {"sam2": sam2, "samurai": samurai, "dam4sam": dam4sam}     # type: ignore[dict-item]


def policy_of(config: ModelConfig) -> Policy:
    """Return the policy that a configuration names."""
    return POLICIES[config.policy]


def look_back(
    conditioning: Mapping[int, FrameEntry], others: Mapping[int, FrameEntry], vantage: Vantage, config: ModelConfig
) -> Lookback:
    """Return what `vantage` attends to by the configured policy, in the order in which it is concatenated."""
    return policy_of(config).look_back(conditioning, others, vantage, config)
