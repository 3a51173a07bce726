"""What a deployed flow makes of an outcome, and of a root that another run writes."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prefect import get_client
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import TerminationSignal

from flows import deployments as deployed
from flows.deployments import told, when_free
from flows.run.outcome import Outcome
from labeling.errors import StoreBusy
from labeling.store.runs import RunSummary

TOP = Path(__file__).resolve().parents[2]


def outcome(**changed: object) -> Outcome:
    done = RunSummary("r1", 5, 1, 8, 80, 40, 2, 3.0, 100, 4.0, 2.0, {}, {"bad_prompt": 1})
    given = {"run_id": "r1", "snapshot": "v000002", "summary": done, "skipped": 3, "dead_letters": {"bad_prompt": 1}}
    return Outcome(**{**given, "counts": {}, "report": "", **changed})  # type: ignore[arg-type]


def test_a_run_ends_with_its_figures() -> None:
    state = told(outcome())
    assert state.is_completed()
    assert state.message == "run r1 -> v000002: 4 videos labelled, 3 had nothing due, dead letters: 1 bad_prompt"


def test_a_run_that_its_budget_stopped_has_failed() -> None:
    state = told(outcome(stopped="5 of 5 videos became dead letters"))
    assert state.is_failed()
    assert state.message == "5 of 5 videos became dead letters"


def test_a_busy_root_is_waited_for_and_then_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployed, "LOOK_AGAIN_S", 0.01)
    tries: list[int] = []

    def busy_twice() -> str:
        tries.append(1)
        if len(tries) < 3:
            raise StoreBusy("held by r0")
        return "done"

    assert when_free(busy_twice, 60) == "done"

    def always_busy() -> str:
        raise StoreBusy("held by r0")

    with pytest.raises(StoreBusy, match="held by r0"):
        when_free(always_busy, 0.05)


async def scheduled_runs() -> list[Any]:
    """Deploy a flow with a schedule, have Prefect's scheduler pass once, and return the runs that it made."""
    from prefect.server.services.scheduler import schedule_deployments

    async with get_client() as client:
        flow_id = await client.create_flow(deployed.recompute_qc)
        name = "scheduled"
        deployment_id = await client.create_deployment(flow_id, name, schedules=[{"schedule": CronSchedule(cron="0 1 * * *")}])
        await schedule_deployments()
        runs = await client.read_flow_runs()
        await client.delete_deployment(deployment_id)
    return [run for run in runs if run.deployment_id == deployment_id]


@pytest.mark.usefixtures("prefect_server")
def test_prefects_scheduler_works_with_the_packages_that_are_here() -> None:
    runs = asyncio.run(scheduled_runs())
    assert runs
    assert {run.state_type for run in runs} == {StateType.SCHEDULED}


def test_a_worker_that_only_looks_for_hooks_loads_nothing_heavy() -> None:
    heavy = ("ray", "torch", "hydra", "pyarrow", "boto3", "prefect.server.api.server")
    program = f"import sys, flows.deployments, flows.upkeep; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=TOP, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(("intent", "quick"), [("cancel", True), (None, False)])
def test_a_cancelled_run_does_not_hold_up_its_worker(intent: str | None, quick: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    at_exit: list[object] = []
    monkeypatch.setattr(deployed.atexit, "register", at_exit.append)
    monkeypatch.setattr(deployed, "get_intent", lambda: intent)

    def terminated() -> None:
        raise TerminationSignal(15)

    with pytest.raises(TerminationSignal):
        when_free(terminated, 0.0)
    assert at_exit == ([deployed.leave_at_once] if quick else [])
