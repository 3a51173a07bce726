"""A file of settings: written by `labeling init`, read by `--config`, shown by `labeling config`."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import typer

from flows.cli.app import run_command
from flows.cli.arguments import with_file
from flows.cli.overrides import settings_in
from flows.cli.settings import help_by_setting
from flows.configure import load_config, load_training
from labeling.config import LabelConfig
from tests.flows.command_line import typed

ANSWERS = ("--source", "my clips/a'b", "--prompts", "p.jsonl", "--store", "s3://labels/cars")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_init_writes_is_what_run_reads(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "next: labeling plan --config labeling.yaml" in typed("init", *ANSWERS, "--model", "tiny")
    config = load_config(with_file([], folder / "labeling.yaml"))
    assert (config.source.uri, config.prompts.uri, config.store.root) == ("my clips/a'b", "p.jsonl", "s3://labels/cars")
    assert config.model.name == "tiny"
    before = (folder / "labeling.yaml").read_bytes()
    assert run_command(["init", *ANSWERS, "--model", "nano"]) == 2
    assert "labeling.yaml is there already" in capsys.readouterr().err
    assert (folder / "labeling.yaml").read_bytes() == before
    assert run_command(["init", *ANSWERS, "--model", "huge", "-o", "other.yaml"]) == 2
    assert "--model is 'huge'; expected one of base_plus" in capsys.readouterr().err
    assert not (folder / "other.yaml").exists()


def test_what_is_typed_wins_over_the_file(folder: Path) -> None:
    (folder / "my.yaml").write_text(
        "model: tiny\nrun: {timeout_s: 60, progress: false, id: null}\nsource: {uri: clips, time_range: [1.5, null]}\n"
        "tracker: {name: samurai, overrides: {kf_score_weight: 0.2}}\n"
    )
    config = load_config(with_file(["model=nano", "run.timeout_s=90"], folder / "my.yaml"))
    assert (config.model.name, config.run.timeout_s, config.run.progress) == ("nano", 90.0, False)
    assert (config.source.uri, config.source.time_range) == ("clips", [1.5, None])
    assert config.tracker.overrides == {"kf_score_weight": 0.2}
    (folder / "train.yaml").write_text("out: trained\nstage: {steps: 3}\n")
    assert load_training(with_file([], folder / "train.yaml")).stage.steps == 3


@pytest.mark.parametrize("text", ["a'b", "back\\", "\\'", "a,b=c", "[x]", "null", "${x", " two words ", "\u00e9", "yes"])
def test_any_text_of_a_file_is_that_text(folder: Path, text: str) -> None:
    words = {"store": {"root": text.strip()}, "cluster": {"address": text}, "qc": {"name": text}}
    (folder / "my.yaml").write_text(json.dumps(words))
    if "${" in text:
        words["cluster"], words["qc"] = {}, {}      # elsewhere it is a word of OmegaConf's about another setting
        (folder / "my.yaml").write_text(json.dumps(words))
    config = asdict(load_config(with_file([], folder / "my.yaml")))
    assert {group: {name: config[group][name] for name in values} for group, values in words.items()} == words


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No such file"), ("- a\n- b\n", "holds no NAME: VALUE"), ("a: [", "cannot be read"), ("\0", "cannot be read"),
        ("sourc: {uri: x}", "sourc.uri is no setting; did you mean source.uri?"), ("model: huge", "model is 'huge'"),
    ],
)
def test_a_file_that_holds_no_settings_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str | None, said: str
) -> None:
    if text is not None:
        (folder / "my.yaml").write_text(text)
    for command in ("run", "plan", "config"):
        assert run_command([command, "--config", "my.yaml"]) == 2
        message = capsys.readouterr().err
        assert said in message
        assert len(message.strip().splitlines()) <= 3


def test_settings_are_listed_with_their_help(folder: Path) -> None:
    told = json.loads(typed("config", "labels", "run.timeout_s=60", "--json"))
    assert told["run.timeout_s"] == {"value": 60.0, "default": 3600.0, "help": "the most that one video may take"}
    assert set(told) == {"run.timeout_s", "store.root"}
    assert "every setting is as by default" in typed("config")
    every = json.loads(typed("config", "--all", "--json"))
    assert set(every) <= settings_in(LabelConfig) | {name for name in every if name.startswith("qc.")}
    assert set(help_by_setting()) <= set(every), "a comment of a setting that is none"
    shown = typed("config", "run.review_url=postgresql://ann:hunter22@db/x")
    assert "run.review_url" in shown
    assert "hunter22" not in shown


def test_a_dry_run_shows_the_plan_and_writes_nothing(folder: Path) -> None:
    (folder / "clips").mkdir()
    (folder / "clips" / "a.mp4").write_bytes(b"x")
    (folder / "p.jsonl").write_text('{"video": "a.mp4", "object_id": 1, "frame_idx": 0, "box_xyxy": [1, 1, 9, 9]}\n')
    told = typed("run", "--dry-run", "labels", "source.uri=clips", "prompts.uri=p.jsonl")
    assert "a.mp4" in told
    assert not (folder / "labels").exists()


def test_a_report_is_opened_where_it_can_be(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "labels").mkdir()
    opened: list[str] = []
    monkeypatch.setattr(typer, "launch", opened.append)
    for path, code in (("/labels/report.html", 0), ("s3://b/report.html", 2)):
        monkeypatch.setattr("flows.run.report.report_again", lambda config, run_id, path=path: path)
        assert run_command(["report", "latest", "labels", "--open"]) == code
    assert opened == ["/labels/report.html"]
    assert "fetch s3://b/report.html" in capsys.readouterr().err
