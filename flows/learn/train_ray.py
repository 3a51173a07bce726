"""Several processes that train one network together, by Ray Train: each takes its share of every step's clips.

All of them read and the first one writes the folder `out`: on several machines it has to be one that all of them see.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from flows.learn.config import DataConfig, TrainConfig
from flows.learn.data import open_source, training_data
from labeling.errors import BadConfiguration, ClusterFailed
from labeling.pool.cluster import open_cluster
from sam2.training.recipe import Recipe
from sam2.training.trainer import train


def train_replicas(config: TrainConfig, recipe: Recipe) -> None:
    """Train with `config.replicas` processes, as `sam2.training.trainer.train` does with one; from `out`'s checkpoint on.

    Raises:
        BadConfiguration: the replicas refused what they were told.
        ClusterFailed: Ray did not start, has no room for the replicas, or lost one.
    """
    import ray
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    gpus = config.cluster.gpus_per_actor
    wants = {"CPU": config.cluster.cpus_per_actor, **({"GPU": gpus} if gpus else {})}
    with open_cluster(config.cluster):
        _check_room(ray.cluster_resources(), wants, config.replicas)     # type: ignore[no-untyped-call]
        trainer = TorchTrainer(
            replica,
            train_loop_config=_job(config, recipe),
            torch_config=TorchConfig(backend="nccl" if gpus else "gloo"),
            scaling_config=ScalingConfig(num_workers=config.replicas, use_gpu=gpus > 0, resources_per_worker=wants),
            run_config=RunConfig(storage_path=str(Path(config.out).expanduser().resolve() / "ray"), name="replicas"),
        )
        try:
            trainer.fit()
        except Exception as error:
            refused = "ValueError" in str(error)
            raise (BadConfiguration if refused else ClusterFailed)(f"the replicas stopped: {error}") from error


def replica(job: dict[str, Any]) -> None:
    """Train in one of the processes; Ray has joined them by then."""
    device = "cuda" if job["gpu"] else "cpu"
    if device == "cpu":
        torch.set_num_threads(job["threads"])
    source = open_source(DataConfig(**job["data"]))
    for _ in train(
        Recipe.from_dict(job["recipe"]), source, job["out"], device=device, workers=job["workers"], stop_after=job["stop_after"]
    ):
        pass


def _job(config: TrainConfig, recipe: Recipe) -> dict[str, Any]:
    return {
        "recipe": asdict(recipe), "data": asdict(training_data(config.data)),
        "out": str(Path(config.out).expanduser().resolve()), "workers": config.workers, "stop_after": config.stop_after,
        "gpu": config.cluster.gpus_per_actor > 0, "threads": max(1, int(config.cluster.cpus_per_actor)),
    }


def _check_room(has: dict[str, float], wants: dict[str, float], replicas: int) -> None:
    """Refuse what Ray would wait for without end."""
    for kind, each in wants.items():
        if each * replicas > has.get(kind, 0.0):
            raise ClusterFailed(
                f"{replicas} replicas want {each * replicas:g} {kind}s and Ray has {has.get(kind, 0.0):g}: lower replicas or "
                f"cluster.{kind.lower()}s_per_actor, or add nodes"
            )
