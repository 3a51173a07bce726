"""The one loader of `configs/`: overrides in, a checked dataclass out; serves the command line and deployments."""

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from flows.bench.config import BenchConfig
from flows.cli.overrides import PATHS, Literals, choices_in, known_overrides, refusal_of
from flows.learn.config import EvaluateConfig, TrainConfig
from labeling.config import LabelConfig, QCConfig, TrackerConfig
from labeling.errors import BadConfiguration, LabelingError
from labeling.logs import held_out, redacted
from labeling.objects_contract import local_path
from labeling.qc.rules import checked_rules
from labeling.review.items import MAX_REVIEWERS
from labeling.store.layout import check_run_id
from labeling.track.predictor import PRECISIONS

Schema = TypeVar("Schema")
MAX_SECONDS, MAX_NUMBER = 1e8, 2.0**53


def config_folder() -> Path:
    """Return the folder of YAML files: inside the wheel, or at the top of a checkout."""
    here = Path(__file__).resolve().parent
    packed = here / "configs"
    return packed if packed.is_dir() else here.parent / "configs"


def load_config(overrides: Sequence[str] = ()) -> LabelConfig:
    """Compose `configs/label.yaml` with Hydra overrides.

    Raises:
        BadConfiguration: a key that does not exist, a value of the wrong type, or a choice that is not there.
    """
    config = compose("label", LabelConfig, overrides)
    check(config)
    return config


def load_evaluation(overrides: Sequence[str] = ()) -> EvaluateConfig:
    """Compose `configs/evaluate.yaml` with Hydra overrides; raises BadConfiguration as `load_config` does."""
    config = compose("evaluate", EvaluateConfig, overrides)
    at_least = {
        "num_frames": (config.num_frames, 2), "objects": (config.objects, 1), "pictures": (config.pictures, 0),
        "worst": (config.worst, 0), "data.count": (config.data.count, 1), "data.first": (config.data.first, 0),
    }
    for name, (value, least) in at_least.items():
        if value is not None and value < least:
            raise BadConfiguration(f"{name} is {value}; expected {least} or more")
    check_tracker(config.tracker)
    return config


def load_training(overrides: Sequence[str] = ()) -> TrainConfig:
    """Compose `configs/train.yaml` with Hydra overrides; raises BadConfiguration as `load_config` does."""
    return compose("train", TrainConfig, overrides)


def load_bench(overrides: Sequence[str] = ()) -> BenchConfig:
    """Compose `configs/bench.yaml` with Hydra overrides; raises BadConfiguration as `load_config` does."""
    config = compose("bench", BenchConfig, overrides)
    for name, counts, least in (("objects", config.objects, 1), ("lengths", config.lengths, 2)):
        if not counts or min(counts) < least:
            raise BadConfiguration(f"{name} is {counts}; expected a list of numbers, each {least} or more")
    for name, value in {"repeats": config.repeats, "encode_batch": config.encode_batch}.items():
        if value < 1:
            raise BadConfiguration(f"{name} is {value}; expected 1 or more")
    if not 0 <= config.peer_from < min(config.lengths):
        raise BadConfiguration(f"peer_from is {config.peer_from}; expected a frame of every length in {config.lengths}")
    if config.peer_precision not in (None, *PRECISIONS):
        raise BadConfiguration(f"peer_precision is {config.peer_precision!r}; expected one of {', '.join(PRECISIONS)}")
    if len(config.size_hw) != 2 or min(config.size_hw) < 32 or any(side % 2 for side in config.size_hw):
        raise BadConfiguration(f"size_hw is {config.size_hw}; expected [height, width], even numbers of 32 or more")
    check_tracker(config.tracker)
    return config


def compose(name: str, schema: type[Schema], overrides: Sequence[str] = ()) -> Schema:
    """Compose `configs/NAME.yaml` (whose defaults begin with `NAME_schema`) with overrides into its dataclass.

    Raises:
        BadConfiguration: a key that does not exist, a value of the wrong type, or a choice that is not there.
    """
    known = known_overrides(overrides, schema, choices_in(config_folder()))
    ConfigStore.instance().store(name=f"{name}_schema", node=schema)
    GlobalHydra.instance().clear()
    literals = Literals()
    try:
        with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
            composed = hydra.compose(name, overrides=[literals.hidden(o) for o in known])
        config = literals.shown(OmegaConf.to_object(composed))
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise BadConfiguration(refusal_of(error, overrides)) from error
    assert isinstance(config, schema)
    expand_paths(config)
    check_numbers(config)
    return config


def expand_paths(config: object, above: str = "") -> None:
    """Put the user's folder in the place of `~`, and a path in that of file://, wherever a setting is a path."""
    assert dataclasses.is_dataclass(config)
    for field in dataclasses.fields(config):
        name, value = f"{above}{field.name}", getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            expand_paths(value, f"{name}.")
        elif name in PATHS and name != "source.glob" and isinstance(value, str):
            setattr(config, field.name, os.path.expanduser(local_path(value)))


def check_numbers(config: object, above: str = "") -> None:
    """Refuse what is no number that can be counted or waited with: NaN, infinities, and beyond what clocks hold."""
    assert dataclasses.is_dataclass(config)
    for field in dataclasses.fields(config):
        name, value = f"{above}{field.name}", getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            check_numbers(value, f"{name}.")
        for number in value if isinstance(value, list) else value.values() if isinstance(value, dict) else [value]:
            if dataclasses.is_dataclass(number):
                check_numbers(number, f"{name}.")
            elif isinstance(number, int | float) and not abs(number) <= (MAX_SECONDS if name.endswith("_s") else MAX_NUMBER):
                raise BadConfiguration(f"{name} is {value}; expected a number, at most {MAX_SECONDS:g} for seconds")


def check(config: LabelConfig) -> None:
    """Refuse values that no run could use, whatever its input; what a command needs beyond that it asks for itself."""
    at_least_one: dict[str, int | None] = {
        "source.frame_stride": config.source.frame_stride,
        "run.max_attempts": config.run.max_attempts,
        "run.chunk_size": config.run.chunk_size,
        "run.max_chunks": config.run.max_chunks,
        "track.max_objects_per_batch": config.track.max_objects_per_batch,
        "track.encode_batch": config.track.encode_batch,
        "cluster.in_flight_per_actor": config.cluster.in_flight_per_actor,
        "cluster.deaths_per_video": config.cluster.deaths_per_video,
        "cluster.actors": config.cluster.actors,
        "cluster.max_actors": config.cluster.max_actors,
    }
    for name, value in at_least_one.items():
        if value is not None and value < 1:
            raise BadConfiguration(f"{name} is {value}; expected 1 or more")
    above_zero = {
        "run.timeout_s": config.run.timeout_s, "run.lock_stale_s": config.run.lock_stale_s,
        "run.scratch_cap_gib": config.run.scratch_cap_gib, "cluster.setup_timeout_s": config.cluster.setup_timeout_s,
        "cluster.placement_timeout_s": config.cluster.placement_timeout_s,
    }
    for name, seconds in above_zero.items():
        if seconds <= 0:
            raise BadConfiguration(f"{name} is {seconds}; expected {'seconds' if name.endswith('_s') else 'a number'} above 0")
    at_least_zero: dict[str, float | None] = {
        "source.limit": config.source.limit, "run.previews": config.run.previews,
        "run.retry_backoff_s": config.run.retry_backoff_s, "cluster.min_actors": config.cluster.min_actors,
        "cluster.cpus_per_actor": config.cluster.cpus_per_actor,
        "cluster.gpus_per_actor": config.cluster.gpus_per_actor, "cluster.deadline_grace_s": config.cluster.deadline_grace_s,
    }
    for name, least in at_least_zero.items():
        if least is not None and least < 0:
            raise BadConfiguration(f"{name} is {least}; expected 0 or more")
    if not 0 <= config.run.max_dead_letter_share <= 1:
        raise BadConfiguration(f"run.max_dead_letter_share is {config.run.max_dead_letter_share}; expected 0 to 1")
    if not 1 <= config.run.reviewers <= MAX_REVIEWERS:
        raise BadConfiguration(f"run.reviewers is {config.run.reviewers}; expected 1 to {MAX_REVIEWERS}")
    if config.cluster.deaths_per_video >= config.cluster.deaths_per_worker:
        raise BadConfiguration(
            f"cluster.deaths_per_video is {config.cluster.deaths_per_video} and cluster.deaths_per_worker "
            f"{config.cluster.deaths_per_worker}; expected the first to be smaller, so that a video that kills "
            "workers is set aside before a worker is given up"
        )
    if config.metrics.port is not None and not 0 <= config.metrics.port < 1 << 16:
        raise BadConfiguration(f"metrics.port is {config.metrics.port}; expected 0 (any that is free) to 65535, or null")
    if config.run.id is not None:
        with as_configuration():
            check_run_id(config.run.id)
    check_time_range(config.source.time_range)
    checked_rules(config.qc)
    check_audit(config.qc)
    check_tracker(config.tracker)


def check_audit(qc: QCConfig) -> None:
    """Refuse a risk or share that is none, and an audit by count and by rate at once."""
    if qc.accept_risk is not None and not 0 <= qc.accept_risk <= 1:
        raise BadConfiguration(f"qc.accept_risk is {qc.accept_risk}; expected a risk from 0 to 1, or null")
    if qc.audit.count is not None or qc.audit.rate is not None:
        from labeling.certify.audit import check_draw

        check_draw(qc.audit.count, qc.audit.rate)


def check_tracker(tracker: TrackerConfig) -> None:
    """Refuse what would couple objects."""
    if tracker.overrides.get("non_overlap_masks"):
        raise BadConfiguration(
            "tracker.overrides.non_overlap_masks is true; the pipeline tracks each object as if it were alone. "
            "Exporters resolve overlaps where a format needs it"
        )


def check_time_range(time_range: list[float | None] | None) -> None:
    """Refuse a range that is not [start, end) in seconds with start before end."""
    if time_range is None:
        return
    start, end = (time_range[0] or 0.0, time_range[1]) if len(time_range) == 2 else (-1.0, None)
    if not start >= 0 or (end is not None and end <= start):
        raise BadConfiguration(f"source.time_range is {time_range}; expected [start, end] seconds, start < end, null for open")


@contextmanager
def as_configuration() -> Iterator[None]:
    """Make a value that the block refuses a configuration's or the command line's."""
    try:
        yield
    except LabelingError:
        raise
    except ValueError as error:
        raise BadConfiguration(str(error)) from error


def require_settings(config: LabelConfig, *names: str) -> None:
    """Refuse a configuration in which a setting that this command needs is empty; name all that are."""
    missing = [name for name in names if not _value_at(config, name)]
    if missing:
        raise BadConfiguration("; ".join(f"{name} is not set: give {name}=..." for name in missing))


def _value_at(config: LabelConfig, name: str) -> object:
    node: object = config
    for part in name.split("."):
        node = getattr(node, part)
    if name == "source.uri" and config.source.manifest:
        return config.source.manifest
    return node


def as_dict(config: LabelConfig | EvaluateConfig | BenchConfig) -> dict[str, Any]:
    """Return the configuration as plain values, as it is kept beside a run and given to a flow."""

    def plain(value: object) -> Any:
        if isinstance(value, Enum):
            return value.value
        if isinstance(value, Mapping):
            return {str(k): plain(v) for k, v in value.items()}
        return [plain(v) for v in value] if isinstance(value, list | tuple) else value

    return {k: plain(v) for k, v in dataclasses.asdict(config).items()}


def kept_config(config: LabelConfig) -> dict[str, Any]:
    """Return the configuration as it is kept beside a run and read back: without passwords, such as that of a queue's URL."""
    kept: dict[str, Any] = held_out(as_dict(config))
    url = config.run.review_url
    if url and "://" in url:
        kept["run"]["review_url"] = _without_password(url)
    return kept


def _without_password(database: str) -> str:
    try:
        url = make_url(database)
    except ArgumentError:
        return str(held_out(database))
    rest = url.set(password=None) if url.password else url
    return str(held_out(rest.render_as_string(hide_password=False)))


def shown_config(config: LabelConfig) -> dict[str, Any]:
    """Return the configuration as people see it, with `***` in the place of secrets."""
    shown: dict[str, Any] = redacted(as_dict(config))
    return shown


def config_from_dict(values: Mapping[str, Any]) -> LabelConfig:
    """Read back a configuration that `as_dict` or `kept_config` gave; unknown keys are refused."""
    try:
        config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(LabelConfig), OmegaConf.create(dict(values))))
    except OmegaConfBaseException as error:
        raise BadConfiguration(str(error)) from error
    assert isinstance(config, LabelConfig)
    expand_paths(config)
    check(config)
    return config
