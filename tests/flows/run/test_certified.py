"""What a publish accepts by a certificate, what it does when that is void, and audits that configuration asks for."""

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from flows.configure import load_config
from flows.judge_again import judge_again
from flows.run.certified import accepting, draw_configured, publish_accepting
from flows.run.review_queue import open_queue
from labeling.certify.audit import Draw, read_draws
from labeling.certify.certificate import certificate_beside
from labeling.config import LabelConfig
from labeling.errors import BadConfiguration
from labeling.review.items import ItemStatus
from labeling.store.publish import publish
from labeling.store.snapshots import newest_snapshot
from tests.flows.cli.test_certify import Made
from tests.labeling.store.made_store import box_prompt, label


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """The store of 360 masklets, certified as a whole."""
    return Made(tmp_path / "labels")


def configured(made: Made, *overrides: str) -> LabelConfig:
    return load_config([f"store.root={made.root}", *overrides])


def test_a_run_after_a_certificate_accepts_by_it_and_carries_it_along(made: Made, tmp_path: Path) -> None:
    made.run("--draw", "240")
    made.review()
    assert made.run()[0] == 0
    qc = configured(made).qc
    certified = newest_snapshot(made.objects)
    threshold = certificate_beside(made.objects, certified.version).threshold
    assert accepting(qc, made.objects) == replace(qc, accept_risk=threshold)
    assert accepting(replace(qc, accept_risk=0.125), made.objects).accept_risk == 0.125
    # Another video of the same source, weights and tracker.
    label(made.objects, tmp_path / "scratch", {"later.mp4": (box_prompt(1),)}, run_id="later")
    after = publish_accepting(made.objects, qc, run_id="later", decisions=[], still_held=lambda: None)
    assert after.counts["tracks"] == certified.counts["tracks"] + 1
    assert certificate_beside(made.objects, after.version).carried_to == after.name
    assert publish_accepting(made.objects, qc, run_id="again", decisions=[], still_held=lambda: None) == after
    # By other rules it is void: what it accepted is judged by them alone.
    judged = judge_again(configured(made, "qc=strict"), Console(quiet=True))
    assert certificate_beside(made.objects, judged.version) is None
    assert "accept_risk" not in judged.qc
    assert accepting(qc, made.objects) == qc


@pytest.mark.parametrize("override", ["qc.audit.count=30", "qc.audit.rate=0.2"])
def test_configured_audits_are_drawn_at_publish(made: Made, tmp_path: Path, override: str) -> None:
    config = configured(made, override, "qc.audit.seed=4")
    with made.queue() as queue:
        one = draw_configured(config, made.objects, queue, newest_snapshot(made.objects))
        assert one is not None
        assert queue.counts()[ItemStatus.OPEN] >= len(one.masklets)
        assert all(item.blind for item in queue.list(limit=len(one.masklets)))
        # The same again: nothing is new.
        again = draw_configured(config, made.objects, queue, newest_snapshot(made.objects))
        assert again is None or again.masklets == ()
        videos = {f"n{i}.mp4": tuple(box_prompt(o) for o in range(5)) for i in range(12)}
        label(made.objects, tmp_path / "s", videos, run_id="b")
        publish(made.objects, config.qc, run_id="b")
        later = draw_configured(config, made.objects, queue, newest_snapshot(made.objects))
    draws = list(read_draws(made.objects))
    if config.qc.audit.count is not None:
        assert (len(one.masklets), later, len(draws)) == (30, None, 1)
        return
    assert later is not None
    assert (later.seed, len(draws)) == (4, 2)
    assert 0.1 < share_of(one) < 0.3
    assert not {m.key for m in one.masklets} & {m.key for m in later.masklets}


def share_of(made: Draw) -> float:
    return len(made.masklets) / made.population


def test_without_a_wish_nothing_is_drawn(made: Made) -> None:
    config = configured(made)
    with open_queue(config) as queue:
        assert draw_configured(config, made.objects, queue, newest_snapshot(made.objects)) is None
    assert list(read_draws(made.objects)) == []


def test_both_ways_of_drawing_at_once_are_refused() -> None:
    with pytest.raises(BadConfiguration, match="expected one of them"):
        load_config(["qc.audit.count=3", "qc.audit.rate=0.1"])
    with pytest.raises(BadConfiguration, match=r"qc\.accept_risk is 1\.5"):
        load_config(["qc.accept_risk=1.5"])
