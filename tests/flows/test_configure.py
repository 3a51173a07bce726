"""Every YAML composes, every wrong word is refused with a message that names it."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flows.configure import (
    as_dict,
    config_folder,
    config_from_dict,
    kept_config,
    load_bench,
    load_config,
    load_evaluation,
    load_training,
    require_settings,
    shown_config,
)
from labeling.config import LabelConfig, TrackDirection
from labeling.errors import BadConfiguration

LOADERS = {
    load_config: {"model", "precision", "tracker", "qc", "cluster"},
    load_evaluation: {"data", "model", "precision", "tracker"},
    load_training: {"data", "model", "precision", "recipe", "cluster"},
    load_bench: {"model", "precision", "tracker"},
}
ODD = "ab/\\'\", {}[]()$=~*#:\n\t\u00e9\u200b\udce9"  # letters that grammars and file systems read as their own
CHOICES = [(p.parent.name, p.stem) for p in sorted(config_folder().glob("*/*.yaml"))]


@pytest.mark.parametrize(("group", "name"), CHOICES, ids=lambda v: v)
def test_every_yaml_composes(group: str, name: str) -> None:
    for load, groups in LOADERS.items():
        if group in groups:
            assert getattr(load([f"{group}={name}"]), group).name == name


def test_groups_are_all_there() -> None:
    assert {group for group, _ in CHOICES} == set().union(*LOADERS.values())


def test_the_yaml_and_the_schema_agree_on_defaults() -> None:
    loaded, bare = as_dict(load_config()), as_dict(LabelConfig())
    for node in ("source", "prompts", "store", "run", "track", "model", "logging", "metrics"):
        assert loaded[node] == bare[node], node


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model=bigger"], "model is 'bigger'; expected one of base_plus"),
        (["run.tmeout_s=3"], "run.tmeout_s"),
        (["source.limit=abc"], "'abc'"),
        (["source.frame_stride=0"], "source.frame_stride is 0; expected 1 or more"),
        (["source.time_range=[5,2]"], "source.time_range is [5.0, 2.0]"),
        (["source.time_range=[1]"], "source.time_range is [1.0]"),
        (["cluster.deaths_per_video=4"], "cluster.deaths_per_video is 4"),
        (["run.timeout_s=0"], "run.timeout_s is 0"),
        (["run.reviewers=10"], "run.reviewers is 10; expected 1 to 9"),
        (["metrics.port=70000"], "metrics.port is 70000; expected 0"),
        (["logging.format=xml"], "xml"),
        (["track.direction=sideways"], "sideways"),
        (["+tracker.overrides.non_overlap_masks=true"], "non_overlap_masks"),
        (["source.uri"], "source.uri"),
    ],
    ids=lambda v: v[0] if isinstance(v, list) else "",
)
def test_bad_configuration_is_named(overrides: list[str], message: str) -> None:
    with pytest.raises(BadConfiguration, match="(?s).*") as caught:
        load_config(overrides)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("objects=[]", "objects is []; expected a list of numbers, each 1 or more"),
        ("objects=[1,0]", "objects is [1, 0]"),
        ("lengths=[1]", "lengths is [1]; expected a list of numbers, each 2 or more"),
        ("repeats=0", "repeats is 0"),
        ("size_hw=[541,960]", "size_hw is [541, 960]; expected [height, width], even numbers"),
        ("size_hw=[540]", "size_hw is [540]"),
        ("lenghts=[5]", "lenghts"),
    ],
)
def test_what_cannot_be_measured_is_named(override: str, message: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        load_bench([override])
    assert message in str(caught.value)


def test_paths_may_hold_anything() -> None:
    config = load_config(["source.uri=/data/it's (new)/a=b,c", "store.root=s3://bucket/pre fix", "source.glob=**/*.mp4"])
    assert config.source.uri == "/data/it's (new)/a=b,c"
    assert config.store.root == "s3://bucket/pre fix"
    assert config.source.glob == "**/*.mp4"


def test_kinds_of_gpu_keep_their_order() -> None:
    config = load_config(["cluster=ray", "+cluster.accelerators={L4: 1, A100: 0.5}"])
    assert list(config.cluster.accelerators.items()) == [("L4", 1.0), ("A100", 0.5)]


def test_missing_settings_are_named_together() -> None:
    with pytest.raises(BadConfiguration, match=r"source\.uri is not set.*store\.root is not set"):
        require_settings(LabelConfig(), "source.uri", "store.root")
    require_settings(load_config(["source.manifest=list.csv"]), "source.uri")


def test_a_configuration_is_kept_as_json() -> None:
    config = load_config(["track.direction=both"])
    assert config.track.direction is TrackDirection.both
    assert json.loads(json.dumps(as_dict(config)))["track"]["direction"] == "both"
    assert config_from_dict(as_dict(config)) == config
    with pytest.raises(BadConfiguration, match="tmeout"):
        config_from_dict({"run": {"tmeout_s": 3}})


def test_a_kept_configuration_tells_no_password() -> None:
    config = load_config(["run.review_url=postgresql+psycopg://ann:secret@db/review"])
    assert "secret" not in json.dumps(kept_config(config))
    assert kept_config(config)["run"]["review_url"] == "postgresql+psycopg://ann@db/review"
    assert shown_config(config)["run"]["review_url"] == "postgresql+psycopg://ann:***@db/review"
    odd = load_config(["run.review_url=postgresql+psycopg://ann:se/c:ret@db:5432/review?sslmode=require"])
    assert kept_config(odd)["run"]["review_url"] == "postgresql+psycopg://ann@db:5432/review?sslmode=require"


def test_a_secret_that_is_a_part_of_a_name_is_not_cut_out_of_what_is_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "customers")
    config = load_config(["source.uri=s3://customers-videos/raw", "run.review_url=customers-queue.sqlite"])
    assert config_from_dict(kept_config(config)) == config
    assert shown_config(config)["source"]["uri"] == "s3://***-videos/raw"


def test_the_configuration_lies_where_the_loader_looks() -> None:
    assert Path(config_folder() / "label.yaml").is_file()


@settings(max_examples=60, deadline=None)
@given(st.text(st.sampled_from(ODD) | st.characters(codec="utf-8"), min_size=1, max_size=20))
@example("a\\b").via("a single backslash")
@example("ends with \\").via("one at the end")
@example("it's \\' both").via("a quote behind one")
@example("${").via("what looks like a reference")
@example("$HOME/${a b}")
@example("'one quote")
@example("a=b,c=[d]")
def test_a_path_is_understood_as_it_is_given(value: str) -> None:
    if value == "null" or (len(value) > 1 and value[0] == value[-1] and value[0] in "'\""):
        return
    assert load_config([f"source.uri={value}", f"store.root={value}"]).source.uri == os.path.expanduser(value)


def test_every_path_may_begin_at_home_or_be_a_file_uri(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    names = (
        "source.uri", "source.manifest", "prompts.uri", "store.root", "model.checkpoint", "run.scratch", "run.review_url",
        "metrics.textfile",
    )
    for typed, meant in (("~/a b", "/home/ada/a b"), ("file:///data/a%20b", "/data/a b"), ("./~/a", "./~/a")):
        config = load_config([f"{name}={typed}" for name in names])
        assert [getattr(getattr(config, top), name) for top, name in (n.split(".") for n in names)] == [meant] * len(names)
    assert config_from_dict({"run": {"scratch": "~/s"}}).run.scratch == "/home/ada/s", "as a deployment gives it"
    with pytest.raises(BadConfiguration, match="file://nas/s"):
        load_config(["run.scratch=file://nas/s"])


def test_a_path_may_refer_to_the_environment_and_be_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPS", "/data")
    assert load_config(["source.uri=${oc.env:CLIPS}/it's a\\b"]).source.uri == "/data/it's a\\b"
    assert load_config(["source.uri='/data/a b'"]).source.uri == "/data/a b"
    assert load_config(["run.scratch=null"]).run.scratch is None
