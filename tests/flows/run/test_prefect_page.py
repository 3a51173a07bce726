"""What a run's page on Prefect shows: figures under keys that stay, log lines without secrets."""

import logging

import pytest
from prefect.logging.handlers import APILogHandler

from flows.run.outcome import Outcome
from flows.run.prefect_page import OURS, artifact_key, show_figures, show_log, summary_of, verdicts_of
from labeling.store.runs import RunSummary


def outcome(dead: dict[str, int]) -> Outcome:
    summary = RunSummary("run-1", 5, 1, 7, 90, 60, 2, 4.0, 100, 9.0, 6.0)
    return Outcome("run-1", "v000003", summary, 2, dead, {"accept": 6, "review": 2}, "/labels/runs/run-1/report.html")


@pytest.mark.parametrize(
    ("root", "key"),
    [("s3://Labels/main_2", "verdicts-s3-labels-main-2"), ("/data/My Labels/", "verdicts-data-my-labels")],
)
def test_keys_of_artifacts_stay_and_are_plain(root: str, key: str) -> None:
    assert artifact_key("verdicts", root) == key


def test_verdicts_are_counted_with_their_share() -> None:
    assert verdicts_of({"accept": 6, "review": 2}) == [
        {"verdict": "accept", "masklets": 6, "share": "75.0%"},
        {"verdict": "review", "masklets": 2, "share": "25.0%"},
        {"verdict": "reject", "masklets": 0, "share": "0.0%"},
    ]
    assert [row["share"] for row in verdicts_of({})] == ["", "", ""]


def test_the_summary_says_what_was_done_and_what_was_not() -> None:
    text = summary_of(outcome({"decode_error": 1}), "s3://labels/main")
    for line in ("| videos labelled | 4 |", "| masks | 90 |", "| decode_error | 1 |", "| snapshot | v000003 |"):
        assert line in text
    assert "No dead letters." in summary_of(outcome({}), "s3://labels/main")


def test_outside_of_a_run_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    show_figures(outcome({}), "/labels")        # would need a server
    show_log()
    show_log()
    for name in OURS:
        handlers = [h for h in logging.getLogger(name).handlers if isinstance(h, APILogHandler)]
        assert len(handlers) == 1
        monkeypatch.setattr(handlers[0], "emit", lambda record: pytest.fail("sent"))
        logging.getLogger(name).info("hello")
