"""What is typed as `name=value`: names that are no setting, choices that are none, values of the wrong kind."""

from collections.abc import Callable

import pytest

from flows.configure import load_bench, load_config, load_evaluation, load_training
from labeling.errors import BadConfiguration


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("sourc.uri=clips", "sourc.uri is no setting; did you mean source.uri?"),
        ("root=labels", "root is no setting; did you mean store.root?"),
        ("max_atempts=3", "max_atempts is no setting; did you mean run.max_attempts?"),
        ("+run.foo=1", "run.foo is no setting"),
        ("hydra.verbose=true", "hydra.verbose is no setting"),
        ("data=davis", "data is no setting"),
        ("~run.id", "'~run.id' is no setting; expected NAME=VALUE"),
        ("clips", "'clips' is no setting; expected NAME=VALUE, as source.uri=clips"),
        ("=x", "'=x' is no setting"),
        ("model=huge", "model is 'huge'; expected one of base_plus, large, nano,"),
        ("model=nano,tiny", "model is 'nano,tiny'; expected one of"),
        ("qc=null", "qc is 'null'; expected one of default, off, strict"),
        ("cluster=", "cluster is ''; expected one of laptop, ray"),
        ("run.max_attempts=abc", "run.max_attempts: Value 'abc' of type 'str' could not be converted to Integer"),
        ("run.id=a,b", "Ambiguous value for argument 'run.id=a,b': several values; quote one that holds a comma"),
        ("run.id=[a", "no viable alternative at input '[a'"),
        ("store.root=${run.nope}", "store.root: Interpolation key 'run.nope' not found"),
        ("run=3", "run: Invalid type assigned: int"),
    ],
)
def test_what_is_no_setting_is_named_without_advice_of_another_command_line(override: str, said: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        load_config([override])
    told = str(caught.value)
    assert said in told
    assert len(told.splitlines()) == 1
    assert not any(word in told for word in ("append", "multirun", "hydra.cc", "search path", "full_key"))


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("run.timeout_s=nan", "run.timeout_s is nan"),
        ("run.lock_stale_s=inf", "run.lock_stale_s is inf"),
        ("run.retry_backoff_s=-1", "run.retry_backoff_s is -1.0; expected 0 or more"),
        ("cluster.setup_timeout_s=1e300", "cluster.setup_timeout_s is 1e+300"),
        ("run.scratch_cap_gib=0", "run.scratch_cap_gib is 0.0; expected a number above 0"),
        ("run.max_attempts=99999999999999999999999", "run.max_attempts is 99999999999999999999999"),
        ("run.previews=-1", "run.previews is -1; expected 0 or more"),
        ("run.max_dead_letter_share=nan", "run.max_dead_letter_share is nan"),
        ("run.id=a/b", "run_id is 'a/b'; expected letters"),
        ("source.limit=-2", "source.limit is -2"),
        ("source.time_range=[nan,2]", "source.time_range is [nan, 2.0]"),
        ("cluster.actors=0", "cluster.actors is 0; expected 1 or more"),
        ("cluster.max_actors=-1", "cluster.max_actors is -1"),
        ("cluster.cpus_per_actor=-1", "cluster.cpus_per_actor is -1.0"),
        ("cluster.accelerators={L4: nan}", "cluster.accelerators is"),
        ("upkeep.keep_days=inf", "upkeep.keep_days is inf"),
        ("qc.rules=[{signal: s, reason: r, review: nan}]", "qc.rules.review is nan"),
    ],
)
def test_numbers_that_no_run_could_use_are_named(override: str, said: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        load_config([override])
    assert said in str(caught.value)


def test_below_a_table_every_name_is_taken() -> None:
    config = load_config(["tracker.overrides.kf_score_weight=0.3", "cluster.accelerators.A100=0.5", "model='tiny'"])
    assert config.tracker.overrides == {"kf_score_weight": 0.3}
    assert config.cluster.accelerators == {"A100": 0.5}
    assert config.model.name == "tiny"


@pytest.mark.parametrize(
    ("load", "override", "near"),
    [
        (load_evaluation, "data.cuont=3", "data.count"), (load_training, "stage.step=3", "stage.steps"),
        (load_bench, "lenghts=[5]", "lengths"),
    ],
)
def test_every_command_names_the_nearest_setting(load: Callable[[list[str]], object], override: str, near: str) -> None:
    with pytest.raises(BadConfiguration, match=f"did you mean {near}"):
        load([override])
    assert load_training(["recipe=nano", "recipe.stages.clips8.steps=5"]).recipe.stages["clips8"].steps == 5
    with pytest.raises(BadConfiguration, match=r"recipe\.stages\.none: Key 'none' is not in struct"):
        load_training(["recipe.stages.none.steps=5"])
