"""From configuration to predictor: what is refused, and what the key gets to see."""

import hashlib
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from labeling.config import NetworkConfig, PrecisionConfig, TrackerConfig
from labeling.errors import BadConfiguration, BadInput
from labeling.track.predictor import UNTRAINED, TrackerRecipe, ahead, build_predictor, recipe_of
from sam2.checkpoint import embedded_weights


def recipe(tracker: str = "samurai", **model: object) -> TrackerRecipe:
    chosen = NetworkConfig(**{"allow_untrained": True, **model})  # type: ignore[arg-type]
    return recipe_of(chosen, PrecisionConfig(), TrackerConfig(tracker))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "nano.pt"
    predictor = build_predictor(recipe(), None, device="cpu")
    torch.save({"model": predictor.state_dict()}, path)  # type: ignore[attr-defined]
    return path


def test_random_weights_must_be_asked_for() -> None:
    with pytest.raises(BadConfiguration, match=r"model\.allow_untrained=true"):
        recipe(config="sam2.1_hiera_t", allow_untrained=False)
    assert recipe(config="sam2.1_hiera_t").checkpoint_sha256 == UNTRAINED


def test_untrained_weights_are_equal_in_every_process() -> None:
    tiny = recipe(config="sam2.1_hiera_t", image_size=64)
    torch.manual_seed(1)
    first = build_predictor(tiny, None, device="cpu").state_dict()  # type: ignore[attr-defined]
    torch.manual_seed(2)
    second = build_predictor(tiny, None, device="cpu").state_dict()  # type: ignore[attr-defined]
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_nano_brings_its_own_weights() -> None:
    own = embedded_weights("sam2.1_nano")
    assert own is not None
    digest = hashlib.sha256(own.read_bytes()).hexdigest()
    assert recipe(allow_untrained=False).checkpoint_sha256 == digest
    with pytest.raises(BadInput, match="not the file that this run was planned with"):
        build_predictor(replace(recipe(), checkpoint_sha256="00" * 32), None, device="cpu")


def test_a_checkpoint_is_known_by_its_digest(weights: Path) -> None:
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert recipe(checkpoint=str(weights)).checkpoint_sha256 == digest
    assert recipe(checkpoint=str(weights), checkpoint_sha256=digest.upper()).checkpoint_sha256 == digest
    with pytest.raises(BadConfiguration, match="expects 00"):
        recipe(checkpoint=str(weights), checkpoint_sha256="00" * 32)
    with pytest.raises(BadConfiguration, match="'/no/such.pt'"):
        recipe(checkpoint="/no/such.pt")


def test_planning_compares_with_the_record_and_makes_none(weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "own.pt"
    path.write_bytes(weights.read_bytes())
    planned = recipe(checkpoint=str(path))
    assert os.listdir(tmp_path) == ["own.pt"]
    build_predictor(planned, str(path), device="cpu")
    assert sorted(os.listdir(tmp_path)) == ["own.pt", "own.pt.sha256"]
    path.write_bytes(b"changed")
    with pytest.raises(BadInput, match="remove the record"):
        recipe(checkpoint=str(path))


def test_an_actor_refuses_another_file_than_the_plans(weights: Path) -> None:
    with pytest.raises(BadInput, match="not the file that this run was planned with"):
        build_predictor(recipe(), str(weights), device="cpu")
    assert build_predictor(recipe(checkpoint=str(weights)), str(weights), device="cpu").image_size == 384  # type: ignore[attr-defined]


@pytest.mark.parametrize(("precision", "tracker", "message"), [("fp8", "sam2", "'fp8'"), ("fp32", "sort", "'sort'")])
def test_unknown_choices_are_named(precision: str, tracker: str, message: str) -> None:
    with pytest.raises(BadConfiguration, match=message):
        recipe_of(NetworkConfig(allow_untrained=True), PrecisionConfig(precision), TrackerConfig(tracker))


def test_samurai_takes_the_released_config_of_its_size() -> None:
    large = recipe(config="sam2.1_hiera_l")
    assert large.config_file == "configs/samurai/sam2.1_hiera_l"
    assert recipe("sam2", config="sam2.1_hiera_l").config_file == "sam2.1_hiera_l"
    assert recipe("sam2").config_file == "sam2.1_nano"
    assert recipe(config="sam2_hiera_l").config_file == "sam2_hiera_l"
    assert "++model.samurai_mode=true" in large.hydra_overrides


def test_a_memory_policy_is_laid_over_the_network_and_older_trackers_get_what_they_got() -> None:
    assert recipe("sam2").hydra_overrides == ["++model.samurai_mode=false", "++model.image_size=384"]
    assert recipe().hydra_overrides == ["++model.samurai_mode=true", "++model.image_size=384"]
    config = build_predictor(recipe("dam4sam"), None, device="cpu").config  # type: ignore[attr-defined]
    assert (config.policy, config.memory_temporal_stride_for_eval, config.presence_threshold) == ("dam4sam", 5, 0.0)


def test_the_networks_own_size_and_the_same_size_given_are_one_recipe() -> None:
    assert recipe(config="sam2.1_hiera_t") == recipe(config="sam2.1_hiera_t", image_size=1024)
    assert recipe().image_size == 384
    with pytest.raises(BadConfiguration, match=r"model\.config: .*sam2\.1_hiera_t"):
        recipe(config="sam9")


def test_presence_is_judged_by_the_trackers_own_threshold() -> None:
    assert recipe().presence_threshold == 0.0       # nano has a threshold of its own
    assert recipe(config="sam2.1_hiera_t").presence_threshold == -1.0
    assert recipe("sam2").presence_threshold == 0.0
    lower = recipe_of(
        NetworkConfig(allow_untrained=True), PrecisionConfig(), TrackerConfig("samurai", {"min_obj_score_logits": -0.5})
    )
    assert lower.presence_threshold == -0.5
    assert build_predictor(lower, None, device="cpu").config.min_obj_score_logits == -0.5  # type: ignore[attr-defined]


def test_items_come_in_their_order_from_one_other_thread() -> None:
    seen: set[int] = set()

    def items() -> Iterator[int]:
        for k in range(20):
            seen.add(threading.get_ident())
            yield k

    assert list(ahead(items())) == list(range(20))
    assert len(seen) == 1
    assert threading.get_ident() not in seen


def test_it_stays_within_its_depth() -> None:
    begun: list[int] = []

    def items() -> Iterator[int]:
        for k in range(100):
            begun.append(k)
            yield k

    for item in ahead(items(), depth=3):
        assert len(begun) <= item + 1 + 3


def test_an_error_comes_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("frame 3 is broken")

    running = ahead(items())
    assert [next(running), next(running)] == [1, 2]
    with pytest.raises(ValueError, match="frame 3 is broken"):
        next(running)


def test_closing_ends_the_thread() -> None:
    before = threading.active_count()
    one = ahead(iter(range(1000)))
    assert next(one) == 0
    one.close()     # type: ignore[attr-defined]
    assert threading.active_count() == before


@pytest.mark.parametrize("enabled", [True, False])
def test_the_thread_works_in_the_callers_arithmetic(enabled: bool) -> None:
    def products() -> Iterator[torch.Tensor]:
        ones = torch.ones(2, 2, requires_grad=True)
        for _ in range(2):
            yield ones @ ones

    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=enabled):
        results = list(ahead(products()))
    assert {r.dtype for r in results} == {torch.bfloat16 if enabled else torch.float32}
    assert not any(r.requires_grad for r in results)
