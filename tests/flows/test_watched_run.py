"""One run, watched: its figures while it goes on and after, its log, its state; and no secret in anything that it leaves."""

import io
import json
import logging
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from flows.cli import app as cli
from flows.label_dataset import label_dataset
from flows.run.metrics import StoreWatch
from flows.run.outcome import Outcome
from flows.run.redacted_flow import discreet
from flows.run.review_queue import open_queue
from labeling import logs, metrics
from labeling.certify.standing import Standing
from labeling.config import LabelConfig, LogFormat
from labeling.objects import open_objects
from labeling.review.figures import figures_of
from labeling.store.run_state import Doing, read_state
from tests.flows.conftest import FRAMES, Dataset, prompt_row

pytestmark = [
    pytest.mark.usefixtures("prefect_server", "ray_here"),
    # Ray and Prefect leave sockets and loops to the collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

INFRA = Path(__file__).resolve().parents[2] / "infra"
PLANTED = "planted-word-"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": f"{PLANTED}key-id", "AWS_SECRET_ACCESS_KEY": f"{PLANTED}s3", "AWS_SESSION_TOKEN": f"{PLANTED}session",
    "SOME_DATABASE_URL": f"postgresql://ann:{PLANTED}env@db/x",
}
ELSEWHERE = f"https://ann:{PLANTED}url@films/a.mp4?X-Amz-Signature={PLANTED}signature"


@dataclass(frozen=True)
class Watched:
    """What came of the run, what was scraped meanwhile, and what it logged."""

    dataset: Dataset
    config: LabelConfig
    outcome: Outcome
    scrapes: list[str]
    log: str


@pytest.fixture(scope="module")
def watched(prefect_server: None, ray_here: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A run of one good video, one that is none, and one that the source lacks, whose name tells a password."""
    dataset, stream = Dataset(tmp_path_factory.mktemp("watched") / "data"), io.StringIO()
    dataset.add("good.mp4", 1)
    (dataset.clips / "text.mp4").write_bytes(b"a film about dogs\n" * 50)
    dataset.rows += [prompt_row("text.mp4", 1), prompt_row(ELSEWHERE, 1)]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    textfile = tmp_path_factory.mktemp("textfile") / "labeling.prom"
    config = dataset.config(f"metrics.port={port}", f"metrics.textfile={textfile}", "logging.format=json")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.Lines(LogFormat.text))
    logging.getLogger().addHandler(handler)
    level = logging.getLogger("flows").level
    logging.getLogger("flows").setLevel(logging.INFO)
    with pytest.MonkeyPatch.context() as patched:
        for name, value in ENVIRONMENT.items():
            patched.setenv(name, value)
        with scraping(port) as scrapes:
            outcome = label_dataset(config)
        yield Watched(dataset, config, outcome, scrapes, stream.getvalue())
    logging.getLogger("flows").setLevel(level)
    logging.getLogger().removeHandler(handler)


class scraping:
    """Reads the port's figures again and again while the block runs."""

    def __init__(self, port: int) -> None:
        self.url, self.scrapes, self.over = f"http://127.0.0.1:{port}/metrics", list[str](), threading.Event()
        self.thread = threading.Thread(target=self.scrape)

    def scrape(self) -> None:
        while not self.over.wait(0.1):
            try:
                self.scrapes.append(urlopen(self.url, timeout=10).read().decode())
            except (URLError, ConnectionError):
                time.sleep(0.1)

    def __enter__(self) -> list[str]:
        self.thread.start()
        return self.scrapes

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()


def samples(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """Values by name and label values."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def named_in_infra() -> dict[str, set[str]]:
    """Every metric that a dashboard or an alert names, by file."""
    boards = {path.name: json.loads(path.read_text()) for path in (INFRA / "grafana/dashboards").glob("*.json")}
    asked = {name: " ".join(t["expr"] for p in board["panels"] for t in p["targets"]) for name, board in boards.items()}
    asked["alerts.yml"] = re.sub(r"#.*|summary:.*|runbook:.*", "", (INFRA / "prometheus/alerts.yml").read_text())
    return {name: set(re.findall(r"\b(?:labeling|process)_\w+", text)) for name, text in asked.items()}


def test_every_metric_that_a_dashboard_or_an_alert_names_is_there(watched: Watched) -> None:
    told = {name for scrape in watched.scrapes for name in samples(scrape)}
    told |= set(samples(metrics.text(StoreWatch(watched.config)).decode()))
    with open_queue(watched.config) as queue:
        told |= set(samples(metrics.text(figures_of(queue)).decode()))
    told |= set(samples(metrics.text(Standing()).decode()))      # where an audit was drawn
    wanted = named_in_infra()
    assert len(wanted) == 3
    assert all(len(names) > 5 for names in wanted.values())
    assert {name: names - told for name, names in wanted.items() if names - told} == {}


def test_figures_during_the_run_and_after_it(watched: Watched) -> None:
    assert samples(watched.scrapes[0])["labeling_run_doing"][("label",)] == 1.0
    last = Path(watched.config.metrics.textfile or "").read_text()
    kept = watched.dataset.root / "runs" / watched.outcome.run_id / "metrics.prom"
    assert kept.read_text() == last
    found = samples(last)
    assert found["labeling_videos_total"] == {("labelled",): 1.0, ("failed",): 1.0}
    assert found["labeling_frames_total"] == {(): FRAMES}
    assert found["labeling_dead_letters_total"] == {("not_a_video",): 1.0, ("unknown_video",): 1.0}
    assert found["labeling_actor_frames_total"] == {("worker-0",): FRAMES}
    assert (found["labeling_queue_depth"], found["labeling_jobs_in_flight"]) == ({(): 0.0}, {(): 0.0})
    assert found["labeling_actor_restarts_total"] == {("died",): 0.0, ("killed",): 0.0}
    assert found["labeling_run_doing"][("done",)] == 1.0
    assert {"fetch", "probe", "track", "signals", "write"} == {labels[0] for labels in found["labeling_stage_seconds_total"]}


def test_the_runs_state_is_kept(watched: Watched) -> None:
    state = read_state(open_objects(watched.config.store.root), watched.outcome.run_id)
    assert state is not None
    assert (state.doing, state.snapshot, state.num_labelled, state.num_failed) == (Doing.DONE, "v000001", 1, 1)
    assert (state.num_due, state.num_refused, state.num_frames) == (2, 1, FRAMES)
    assert state.handled_bytes == state.due_bytes > 0
    assert state.dead_letter_share == pytest.approx(2 / 3)


def test_each_log_line_has_run_chunk_and_video(watched: Watched) -> None:
    lines = [json.loads(line) for line in watched.log.splitlines()]
    assert all(set(logs.ALWAYS) <= set(line) for line in lines)
    assert {line["run"] for line in lines} == {watched.outcome.run_id}
    (dead,) = (line for line in lines if line["message"].startswith("dead letter of text.mp4"))
    assert (dead["chunk"], dead["level"]) == (1, "WARNING")
    # Ray's own lines stand between.
    actors = [line for path in ray_logs() for line in path.read_text().splitlines() if line.startswith('{"at":')]
    ours = (line for line in map(json.loads, actors) if line["run"] == watched.outcome.run_id)
    (failed,) = (line for line in ours if line["message"] == "job failed")
    assert (failed["video"], failed["run"], failed["chunk"]) == (dead["video"], watched.outcome.run_id, None)
    assert failed["worker"].startswith("worker-0")


def ray_logs() -> list[Path]:
    import ray

    session = Path(ray._private.worker.global_worker.node.get_session_dir_path())
    return [path for path in (session / "logs").rglob("*") if path.is_file()]


def test_nothing_that_the_run_leaves_tells_a_secret(watched: Watched) -> None:
    word = PLANTED.encode()
    assert word in watched.dataset.prompts.read_bytes()
    places = (watched.dataset.root, Path(os.environ["PREFECT_HOME"]))
    left = [path for place in places for path in place.rglob("*") if path.is_file()]
    assert any(path.name == "report.html" for path in left)
    assert [path for path in [*left, *ray_logs()] if word in path.read_bytes()] == []
    assert PLANTED not in watched.log
    assert all(PLANTED not in scrape for scrape in watched.scrapes)
    letter = next(path for path in left if b"unknown_video" in path.read_bytes() and "dead" in path.parts)
    assert json.loads(letter.read_text())["video"] == "https://ann@films/a.mp4?X-Amz-Signature="


def test_prefect_is_told_no_secret(prefect_server: None, dataset: Dataset) -> None:
    from prefect.client.orchestration import get_client
    from prefect.context import FlowRunContext

    @discreet(name="told", validate_parameters=False)
    def told(config: LabelConfig, more: list[str]) -> tuple[str, str | None]:
        context = FlowRunContext.get()
        assert context is not None
        assert context.flow_run is not None
        return str(context.flow_run.id), config.run.review_url

    url = f"postgresql+psycopg://ann:{PLANTED}db@db/review"
    run_id, seen = told(dataset.config(f"run.review_url={url}"), [url])
    assert seen == url
    with get_client(sync_client=True) as client:
        kept: dict[str, Any] = client.read_flow_run(run_id).parameters
    assert kept["config"]["run"]["review_url"] == "postgresql+psycopg://ann:***@db/review"
    assert PLANTED not in json.dumps(kept)


def test_status_and_runs_tell_of_it(watched: Watched, capsys: pytest.CaptureFixture[str]) -> None:
    root, run_id = str(watched.dataset.root), watched.outcome.run_id
    assert cli.run_command(["status", root, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["doing"], said["done"], said["due"], said["dead"]) == ("idle", 1, 0, 2)
    assert said["last"]["run_id"] == run_id
    assert cli.run_command(["runs", "show", "latest", root, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["run_id"], said["how"], sum(said["verdicts"].values())) == (run_id, "done", 1)
    assert said["config"]["model.image_size"] == 64
    assert cli.run_command(["runs", "compare", run_id, "latest", root]) == 0
    told = capsys.readouterr().out
    assert "the same settings" in told
    assert "1 labelled of 2 due" in told
