"""A key hears of everything that decides masks, and of nothing else."""

import json
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeling.config import PromptsConfig, PromptScope, SourceConfig, TrackConfig, TrackDirection
from labeling.ingest.prompts import sort_prompts
from labeling.store.keys import Keyer, KeyParts, LabelRecipe, batch_of, canonical_json, digest, object_key, recipe_for
from labeling.types import RLE, Prompt, PromptSource
from tests.labeling.store.made_store import RECIPE, box_prompt


@dataclass(frozen=True)
class Choice:
    """A resolved model and tracker."""

    model: str = "sam2.1_nano"
    checkpoint_sha256: str = "ab" * 32
    image_size: int | None = 256
    apply_postprocessing: bool = True
    precision: str = "bf16"
    tracker: str = "samurai"
    overrides: dict = field(default_factory=lambda: {"kf_score_weight": 0.2})
    semantics_version: int = 1


coordinates = st.floats(0, 4000, allow_nan=False)
boxes = st.tuples(coordinates, coordinates).map(lambda xy: (xy[0], xy[1], xy[0] + 7.5, xy[1] + 3))
points = st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=3).map(tuple)
box_prompts = st.builds(Prompt, object_id=st.just(1), frame_idx=st.integers(0, 500), box_xyxy=boxes)
point_prompts = st.builds(
    lambda frame_idx, points_xy: Prompt(1, frame_idx, points_xy=points_xy, labels=(1,) * len(points_xy)),
    st.integers(0, 500), points,
)
prompt_lists = st.lists(box_prompts | point_prompts, min_size=1, max_size=4)
leaves = st.integers() | st.booleans() | st.text(max_size=5) | coordinates
plain_values = st.dictionaries(st.text(max_size=5), leaves, max_size=6)


def key_of(prompts, content_id="etag", recipe=RECIPE) -> str:
    return object_key(KeyParts(content_id, prompts, recipe))


@given(prompt_lists, st.randoms())
def test_order_and_category_of_prompts_do_not_matter(prompts, random) -> None:
    shuffled = [replace(p, category="car") for p in prompts]
    random.shuffle(shuffled)
    assert key_of(shuffled) == key_of(prompts)
    assert [replace(p, category=None) for p in sort_prompts(shuffled)] == list(sort_prompts(prompts))


@given(plain_values, st.randoms())
def test_order_of_settings_does_not_matter(settings, random) -> None:
    shuffled = list(settings.items())
    random.shuffle(shuffled)
    assert canonical_json(dict(shuffled)) == canonical_json(settings)
    one, other = (replace(RECIPE, model=dict(items)) for items in (shuffled, settings.items()))
    assert key_of([box_prompt(1)], recipe=one) == key_of([box_prompt(1)], recipe=other)


@given(prompt_lists, prompt_lists)
def test_other_prompts_are_another_key(prompts, others) -> None:
    same = sort_prompts(prompts) == sort_prompts(others)
    assert (key_of(prompts) == key_of(others)) == same


@pytest.mark.parametrize(
    "changed",
    [
        replace(RECIPE, model=RECIPE.model | {"precision": "bf16"}),
        replace(RECIPE, model=RECIPE.model | {"image_size": 512}),
        replace(RECIPE, tracker={"name": "sam2", "overrides": {}}),
        replace(RECIPE, tracker={"name": "samurai", "overrides": {"kf_score_weight": 0.2}}),
        replace(RECIPE, time_range=(0.0, 2.0)),
        replace(RECIPE, time_range=(0.5, None)),
        replace(RECIPE, frame_stride=2),
        replace(RECIPE, direction="both"),
        replace(RECIPE, semantics_version=2),
    ],
)
def test_each_part_of_the_recipe_is_heard(changed: LabelRecipe) -> None:
    prompts = [box_prompt(1)]
    assert key_of(prompts, recipe=changed) != key_of(prompts)
    before, after = (Keyer(r).components("etag", prompts) for r in (RECIPE, changed))
    assert len({name for name in before if before[name] != after[name]}) == 1


@pytest.mark.parametrize(
    "changed",
    [
        box_prompt(2),
        box_prompt(1, 2.5),
        replace(box_prompt(1), frame_idx=1),
        replace(box_prompt(1), source=PromptSource.CORRECTION),
        replace(box_prompt(1), points_xy=((3.0, 3.0),), labels=(1,)),
        Prompt(1, 0, points_xy=((2.0, 2.0), (3.0, 3.0)), labels=(1, 0)),
        Prompt(1, 0, points_xy=((2.0, 2.0), (3.0, 3.0)), labels=(0, 1)),
        Prompt(1, 0, mask=RLE((4, 4), "44")),
        Prompt(1, 0, mask=RLE((4, 4), "53")),
        Prompt(1, 0, mask=RLE((2, 8), "44")),
    ],
)
def test_each_part_of_a_prompt_is_heard(changed: Prompt) -> None:
    keys = {key_of([box_prompt(1)]), key_of([changed]), key_of([box_prompt(1), changed])}
    assert len(keys) == 3


def test_content_is_heard_and_the_key_is_the_digest_of_one_canonical_text() -> None:
    prompts = [box_prompt(1)]
    assert key_of(prompts, content_id="other") != key_of(prompts)
    text = canonical_json(
        {
            "content_id": "etag",
            "prompts": [
                {
                    "object_id": 1, "frame_idx": 0, "box_xyxy": [2, 2, 10, 10], "points_xy": [], "labels": [], "mask": None,
                    "source": "seed",
                }
            ],
            "recipe": RECIPE.parts(),
        }
    )
    assert key_of(prompts) == digest(text)


def test_two_ways_to_say_one_thing_are_one_key() -> None:
    assert key_of([box_prompt(1)], recipe=replace(RECIPE, time_range=(None, None))) == key_of([box_prompt(1)])
    assert key_of([box_prompt(1)], recipe=replace(RECIPE, time_range=(0.0, None))) == key_of([box_prompt(1)])
    assert canonical_json({"b": 1.0, "a": [-0.0]}) == '{"a":[0],"b":1}' == canonical_json({"a": (0,), "b": 1})
    assert json.loads(canonical_json({"x": 0.1, "y": True, "z": None})) == {"x": 0.1, "y": True, "z": None}


def test_a_number_that_is_none_cannot_be_hashed() -> None:
    with pytest.raises(ValueError):
        canonical_json({"x": float("nan")})


def test_a_batch_is_named_after_its_keys_in_any_order() -> None:
    assert batch_of(["a", "b"]) == batch_of(["b", "a"]) != batch_of(["a"])
    assert len(batch_of(["a"])) == 16


def test_a_run_s_recipe_takes_all_that_decides_masks_from_its_settings() -> None:
    choice = Choice()
    source, track = SourceConfig(time_range=[1.0, None], frame_stride=3), TrackConfig(direction=TrackDirection.both)
    prompts = PromptsConfig()
    recipe = recipe_for(choice, source, track, prompts)
    others = [
        recipe_for(replace(choice, checkpoint_sha256="cd" * 32), source, track, prompts),
        recipe_for(replace(choice, apply_postprocessing=False), source, track, prompts),
        recipe_for(replace(choice, image_size=512), source, track, prompts),
        recipe_for(replace(choice, precision="fp32"), source, track, prompts),
        recipe_for(replace(choice, model="sam2.1_hiera_t"), source, track, prompts),
        recipe_for(replace(choice, tracker="sam2"), source, track, prompts),
        recipe_for(replace(choice, overrides={}), source, track, prompts),
        recipe_for(replace(choice, semantics_version=choice.semantics_version + 1), source, track, prompts),
        recipe_for(choice, SourceConfig(time_range=[1.0, 2.0], frame_stride=3), track, prompts),
        recipe_for(choice, SourceConfig(frame_stride=3), track, prompts),
        recipe_for(choice, SourceConfig(time_range=[1.0, None]), track, prompts),
        recipe_for(choice, source, TrackConfig(), prompts),
    ]
    keys = [key_of([box_prompt(1)], recipe=r) for r in [recipe, *others]]
    assert len(set(keys)) == len(keys)


def test_the_scope_of_prompts_enters_a_key_where_it_decides_masks() -> None:
    one, two = [box_prompt(1)], [box_prompt(1), replace(box_prompt(1), frame_idx=9)]
    stretch = replace(RECIPE, scope=PromptScope.stretch)
    assert key_of(one, recipe=stretch) == key_of(one), "prompts on one frame reach all others in either scope"
    assert key_of(two, recipe=stretch) != key_of(two)
    assert "scope" not in RECIPE.parts()
    assert Keyer(stretch).components("etag", two).keys() - Keyer(RECIPE).components("etag", two).keys() == {"scope"}
    said = [replace(two[0], scope=PromptScope.stretch), two[1]]
    assert key_of(said) not in (key_of(two), key_of(two, recipe=stretch))
