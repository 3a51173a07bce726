"""Upkeep as a flow: pack small files, remove what no kept snapshot needs, compare checksums, within bounds."""

import logging
from typing import TYPE_CHECKING

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows.deployments import when_free
from flows.run.prefect_page import show_log
from labeling.config import LabelConfig

if TYPE_CHECKING:
    from labeling.store.snapshots import BadFile
    from labeling.store.versions.compact import Compacted
    from labeling.store.versions.vacuum import Vacuum

log = logging.getLogger(__name__)


@flow(name="upkeep", flow_run_name="{store_root}")
def upkeep(
    store_root: str,
    overrides: list[str] = [],  # noqa: B006
    apply_vacuum: bool = True,
    wait_for_root_s: float = 3600,
) -> State[None]:
    """Compact, vacuum and verify the dataset at `store_root` within the bounds of `upkeep.*`.

    Fails when a file is not as it was written, and names it.

    Args:
        store_root: The dataset's root: a folder or s3://bucket/prefix.
        overrides: Other settings, as on the command line, e.g. upkeep.keep_versions=10.
        apply_vacuum: Delete what no kept snapshot needs; otherwise only say what that is.
        wait_for_root_s: Seconds to wait while a run writes the root, before this one fails with that run's name.
    """
    from flows.configure import load_config
    from flows.run.upkeep_steps import told_compacted, told_vacuum

    show_log()
    config = load_config([f"store.root={store_root}", *overrides])
    packed = compact_task(config, wait_for_root_s)
    gone = vacuum_task(config, apply_vacuum, wait_for_root_s)
    bad = verify_task(config)
    told = f"{told_compacted(packed)}; {told_vacuum(gone, applied=apply_vacuum)}; {len(bad)} bad files"
    log.info(told)
    if bad:
        return Failed(message=f"{told}: " + ", ".join(f"{one.file}: {one.problem}" for one in bad[:10]))
    return Completed(message=told)


@task(name="compact", cache_policy=NO_CACHE)
def compact_task(config: LabelConfig, wait_s: float) -> "Compacted | None":
    """Do `compact_store` when nobody else writes the root."""
    from flows.run.upkeep_steps import compact_store

    return when_free(lambda: compact_store(config), wait_s)


@task(name="vacuum", cache_policy=NO_CACHE)
def vacuum_task(config: LabelConfig, apply: bool, wait_s: float) -> "Vacuum":
    """Do `vacuum_store` when nobody else writes the root."""
    from flows.run.upkeep_steps import vacuum_store

    return when_free(lambda: vacuum_store(config, apply), wait_s)


@task(name="verify", cache_policy=NO_CACHE)
def verify_task(config: LabelConfig) -> "list[BadFile]":
    """Do `verify_store`."""
    from flows.run.upkeep_steps import verify_store

    return verify_store(config)
