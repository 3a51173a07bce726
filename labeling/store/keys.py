"""Keys: which inputs made an object's masks, as one digest, so that a run does only what is due.

A key belongs to one object of one video. It covers what decides the masks and nothing else: a category, the code version
or the storage schema may change without a new key. Digests are SHA-256 in lower-case hex.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from labeling.config import PromptsConfig, PromptScope, SourceConfig, TrackConfig
from labeling.types import JsonObject, Prompt

# What can differ between two keys of one object, and what a plan calls it.
COMPONENTS: Mapping[str, str] = {
    "content": "video changed",
    "prompts": "prompts changed",
    "scope": "scope of prompts changed",
    "model": "model changed",
    "tracker": "tracker changed",
    "frames": "frames changed",
    "direction": "direction changed",
    "semantics": "tracking code changed",
}
_COMPONENT_DIGITS = 12
_BATCH_DIGITS = 16


class ModelChoice(Protocol):
    """The resolved model and tracker that masks come from, as the `track` room describes them."""

    @property
    def model(self) -> str: ...
    @property
    def checkpoint_sha256(self) -> str: ...
    @property
    def image_size(self) -> int: ...
    @property
    def apply_postprocessing(self) -> bool: ...
    @property
    def precision(self) -> str: ...
    @property
    def tracker(self) -> str: ...
    @property
    def overrides(self) -> JsonObject: ...
    @property
    def semantics_version(self) -> int: ...


@dataclass(frozen=True, slots=True)
class LabelRecipe:
    """What all objects of a run share: which frames, which way, which network, how memory is chosen.

    `time_range` is [start, end) in seconds, None for an open end; `model` and `tracker` hold plain values.
    """

    model: JsonObject
    tracker: JsonObject
    time_range: tuple[float | None, float | None] | None = None
    frame_stride: int = 1
    direction: str = "forward"
    semantics_version: int = 1
    scope: PromptScope = PromptScope.all

    def parts(self) -> JsonObject:
        """Return the recipe by component; an open start is 0 s, so that two ways to say one thing are one key."""
        start, end = self.time_range or (None, None)
        # Left out where it is as before there was a choice, so that keys from then stay what they are.
        scope = {} if self.scope is PromptScope.all else {"scope": self.scope.value}
        return scope | {
            "direction": self.direction,
            "frames": {"stride": self.frame_stride, "time_range": [start or 0.0, end]},
            "model": dict(self.model),
            "semantics": self.semantics_version,
            "tracker": dict(self.tracker),
        }


@dataclass(frozen=True, slots=True)
class KeyParts:
    """Everything that decides one object's masks; `prompts` are that object's alone."""

    content_id: str
    prompts: Sequence[Prompt]
    recipe: LabelRecipe


def recipe_for(choice: ModelChoice, source: SourceConfig, track: TrackConfig, prompts: PromptsConfig) -> LabelRecipe:
    """Gather a run's recipe from the resolved model and the configuration."""
    time_range = source.time_range
    model = {
        "config": choice.model,
        "image_size": choice.image_size,
        "postprocessing": choice.apply_postprocessing,
        "precision": choice.precision,
        "checkpoint_sha256": choice.checkpoint_sha256,
    }
    return LabelRecipe(
        model=model,
        tracker={"name": choice.tracker, "overrides": dict(choice.overrides)},
        time_range=(time_range[0], time_range[1]) if time_range else None,
        frame_stride=source.frame_stride,
        direction=track.direction.value,
        semantics_version=choice.semantics_version,
        scope=prompts.scope,
    )


def canonical_json(value: object) -> str:
    """Write plain values so that equal ones have equal text: sorted keys, no spaces, 1.0 as 1; ValueError for NaN."""
    return _dumps(_plain(value))


def digest(text: str) -> str:
    """Return the SHA-256 of a text's UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def object_key(parts: KeyParts) -> str:
    """Return one object's key: SHA-256 of the canonical JSON of its parts."""
    return Keyer(parts.recipe).key(parts.content_id, parts.prompts)


def held_key(key: str) -> str:
    """Return the key of what is held in place of a result: its first mask alone, which is another result."""
    return digest(f"{key} held")


def batch_of(keys: Iterable[str]) -> str:
    """Name the output files of a job after the keys it covers, in any order."""
    return digest("\n".join(sorted(keys)))[:_BATCH_DIGITS]


class Keyer:
    """Makes keys under one recipe, whose text and digests are made once: a plan makes a hundred thousand keys."""

    def __init__(self, recipe: LabelRecipe) -> None:
        parts = recipe.parts()
        self._recipe_text = canonical_json(parts)
        # With prompts on one frame alone there is no stretch: such an object's masks and key are the same in either scope.
        self._one_frame_text = canonical_json({name: part for name, part in parts.items() if name != "scope"})
        self._digests = {name: _short(canonical_json(part)) for name, part in parts.items()}

    def key(self, content_id: str, prompts: Sequence[Prompt]) -> str:
        """Return the key of one object with these prompts on a video with this content."""
        # Written by hand in sorted order: the same text as canonical_json of the three together.
        recipe = self._one_frame_text if len({prompt.frame_idx for prompt in prompts}) < 2 else self._recipe_text
        text = f'{{"content_id":{_dumps(content_id)},"prompts":{_prompts_text(prompts)},"recipe":{recipe}}}'
        return digest(text)

    def components(self, content_id: str, prompts: Sequence[Prompt]) -> dict[str, str]:
        """Return a short digest of each of `COMPONENTS`, kept with the result so that a later plan can say what changed."""
        return {"content": _short(content_id), "prompts": _short(_prompts_text(prompts)), **self._digests}


def _short(text: str) -> str:
    return digest(text)[:_COMPONENT_DIGITS]


def _prompts_text(prompts: Sequence[Prompt]) -> str:
    if len(prompts) == 1:
        return f"[{_prompt_text(prompts[0])}]"
    return f"[{','.join(sorted(map(_prompt_text, prompts)))}]"


def _prompt_text(prompt: Prompt) -> str:
    mask = prompt.mask
    # Left out where there is none, so that keys from before there were spans and scopes stay what they are.
    span = {} if prompt.span is None else {"span": list(prompt.span)}
    scope = {} if prompt.scope is None else {"scope": prompt.scope.value}
    return _dumps(
        span | scope | {
            "box_xyxy": _numbers(prompt.box_xyxy) if prompt.box_xyxy is not None else None,
            "frame_idx": prompt.frame_idx,
            "labels": list(prompt.labels),
            "mask": [*mask.size_hw, mask.counts] if mask is not None else None,
            "object_id": prompt.object_id,
            "points_xy": [_numbers(point) for point in prompt.points_xy],
            "source": prompt.source.value,
        }
    )


def _numbers(values: Sequence[float]) -> list[float]:
    return [_number(v) for v in values]


def _number(value: float) -> float:
    return int(value) if float(value).is_integer() else float(value)


_dumps = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return _number(value) if isinstance(value, float) else value
