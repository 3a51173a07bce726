"""Fitted judges at publish: who judges what, what stands in verdicts, and judging again without tracking."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from labeling.config import QCConfig, RuleConfig
from labeling.errors import BadConfiguration, DamagedStore
from labeling.objects import FolderObjects
from labeling.qc.judge import Judge
from labeling.qc.judge_json import document_of, to_json
from labeling.store import judges as judging
from labeling.store.judges import Judges, choice_of, choose, chosen, judge_at, judges_of, keep, shipped_judges
from labeling.store.publish import nothing_to_publish, publish, recompute
from labeling.store.records import verdict_from_row
from labeling.store.snapshots import read_snapshot, read_verdicts
from labeling.types import Decision, ReviewDecision, Verdict
from tests.labeling.store.made_judges import WEIGHTS, step_judge
from tests.labeling.store.made_store import box_prompt, label, ref_of

RULES = [
    RuleConfig("visible_share", "object_lost", "at_least", 0.9, 0.1),
    RuleConfig("area_median", "too_small", "at_least", 50, None),
]


@pytest.fixture
def store(tmp_path: Path) -> FolderObjects:
    return FolderObjects(tmp_path / "store")


def file_of(folder: Path, judge: Judge) -> str:
    path = folder / f"{judge.name}.json"
    path.write_text(to_json(document_of(judge)))
    return str(path)


def verdicts(store: FolderObjects) -> dict[tuple[str, str], Verdict]:
    names = {ref_of(f"{n}.mp4").video_id: n for n in range(40)}
    rows = read_verdicts(store, read_snapshot(store)).to_pylist()
    return {(names[row["video_id"]], row["track_id"]): verdict_from_row(row) for row in rows}


def test_risk_and_verdict_are_the_judges_and_reasons_the_rules(store: FolderObjects, tmp_path: Path) -> None:
    label(store, tmp_path / "s", {"0.mp4": (box_prompt(1),)}, num_frames=30)
    label(store, tmp_path / "s", {"1.mp4": (box_prompt(1),)}, "late", num_frames=30, lost_after=20)
    judge = step_judge()
    snapshot = publish(store, QCConfig("own", RULES, file_of(tmp_path, judge)), run_id="run")
    good, lost = verdicts(store)[0, "1"], verdicts(store)[1, "1"]
    assert (good.decision, good.risk, good.flags, good.judge) == (Decision.ACCEPT, 0.1, (), judge.digest)
    assert (lost.decision, lost.risk, lost.judge) == (Decision.REVIEW, 0.9, judge.digest)
    by_rule, by_judge = lost.flags
    assert (by_rule.reason, by_rule.signal, by_rule.threshold) == ("object_lost", "visible_share", 0.9)
    assert (by_judge.reason, by_judge.signal, by_judge.value, by_judge.threshold) == ("late_loss", "risk", 0.9, 0.3)
    assert by_judge.frame_span == (0, 30)
    assert snapshot.qc["judges"] == {"by-hand": judge.digest}
    assert json.loads(store.get(f"judges/{judge.digest}.json")) == document_of(judge)


def test_a_rule_rejects_whatever_the_judge_finds_and_its_bounds_alone_do_not_send_to_people(
    store: FolderObjects, tmp_path: Path
) -> None:
    label(store, tmp_path / "s", {"0.mp4": (box_prompt(1),)}, num_frames=30, lost_after=1)
    label(store, tmp_path / "s", {"1.mp4": (box_prompt(1),)}, "late", num_frames=30, lost_after=20)
    publish(store, QCConfig("own", RULES, file_of(tmp_path, step_judge(low=0.2))), run_id="run")
    gone, lost = verdicts(store)[0, "1"], verdicts(store)[1, "1"]
    assert gone.decision is Decision.REJECT
    assert gone.risk >= 0.8
    assert (lost.decision, lost.risk) == (Decision.ACCEPT, 0.2)
    assert [flag.reason for flag in lost.flags] == ["object_lost"]


def test_a_rule_that_is_sure_keeps_the_judge_from_accepting(store: FolderObjects, tmp_path: Path) -> None:
    """One bad stretch among many mild signals, as where look-alikes cross."""
    label(store, tmp_path / "s", {"0.mp4": (box_prompt(1),)}, num_frames=30, lost_after=20)
    judge = file_of(tmp_path, step_judge(low=0.2))
    for risk, decision, told in ((0.9, Decision.REVIEW, 0.3), (0.8, Decision.ACCEPT, 0.2)):
        rule = RuleConfig("visible_share", "object_lost", "at_least", 0.9, None, [0.5, risk], 0.7)
        publish(store, QCConfig("own", [rule], judge), run_id="run")
        (verdict,) = verdicts(store).values()
        assert (verdict.decision, verdict.risk) == (decision, told)
        assert [flag.reason for flag in verdict.flags] == ["object_lost"]


def test_a_sure_judge_rejects_with_its_number(store: FolderObjects, tmp_path: Path) -> None:
    label(store, tmp_path / "s", {"0.mp4": (box_prompt(1),)}, num_frames=30, lost_after=20)
    publish(store, QCConfig("own", [], file_of(tmp_path, step_judge(low=0.97))), run_id="run")
    (verdict,) = verdicts(store).values()
    assert verdict.decision is Decision.REJECT
    assert (verdict.flags[0].reason, verdict.flags[0].value, verdict.flags[0].threshold) == ("late_loss", 0.97, 0.95)


def test_a_judge_is_asked_about_the_weights_that_it_knows(store: FolderObjects, tmp_path: Path, monkeypatch) -> None:
    label(store, tmp_path / "s", {"0.mp4": (box_prompt(1),)}, num_frames=30, lost_after=20)
    ours, others = step_judge(weights=["untrained"]), step_judge(weights=[WEIGHTS], name="others")
    monkeypatch.setattr(judging, "SHIPPED", ("ours", "others"))
    monkeypatch.setattr(judging, "shipped_judge", {"ours": ours, "others": others}.get)
    publish(store, QCConfig("own", RULES), run_id="one")
    assert {v.judge for v in verdicts(store).values()} == {ours.digest}
    assert store.stat(f"judges/{others.digest}.json") is None
    monkeypatch.setattr(judging, "SHIPPED", ("others",))
    publish(store, QCConfig("own", RULES), run_id="two")
    (verdict,) = verdicts(store).values()
    assert (verdict.judge, verdict.novelty) == (None, None)
    assert verdict.decision is Decision.REVIEW


def test_judging_again_takes_another_judge_and_nothing_else(store: FolderObjects, tmp_path: Path) -> None:
    label(store, tmp_path / "s", {"0.mp4": (box_prompt(1),)}, num_frames=30, lost_after=20)
    none = QCConfig("own", RULES, "none")
    publish(store, none, run_id="one")
    assert verdicts(store)[0, "1"].judge is None
    assert "judges" not in read_snapshot(store).qc
    with_judge = QCConfig("own", RULES, file_of(tmp_path, step_judge(low=0.2)))
    assert nothing_to_publish(store, with_judge) is None
    recompute(store, with_judge, run_id="two")
    assert verdicts(store)[0, "1"].decision is Decision.ACCEPT
    # Nothing is left to do, also by the digest alone, wherever the file was.
    digest = verdicts(store)[0, "1"].judge
    for same in (with_judge, QCConfig("own", RULES, str(digest))):
        assert nothing_to_publish(store, same) is not None
        assert recompute(store, same, run_id="three").version == 2


def test_what_was_set_for_a_store_is_what_auto_goes_by(store: FolderObjects, tmp_path: Path) -> None:
    judge = step_judge()
    assert chosen(store) == "auto"
    choose(store, file_of(tmp_path, judge))
    (tmp_path / "by-hand.json").unlink()
    assert judges_of(store, "auto").digests == {"by-hand": judge.digest}
    assert choice_of(store, {"by-hand": judge.digest}) == "auto"
    choose(store, "none")
    assert judges_of(store, "auto").all == ()
    assert choice_of(store, {"by-hand": judge.digest}) == judge.digest
    assert choice_of(store, {}) == "none"
    choose(store, "auto")
    assert chosen(store) == "auto"


def test_a_judge_that_is_not_there_is_named(store: FolderObjects, tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match=r"qc\.judge is 'nono'.*expected auto, none"):
        judges_of(store, "nono")
    with pytest.raises(BadConfiguration, match="does not keep"):
        judge_at("f" * 64, store)
    keep(store, step_judge())
    store.put(f"judges/{'0' * 64}.json", store.get(f"judges/{step_judge().digest}.json"))
    with pytest.raises(DamagedStore, match="expected that of its name"):
        judge_at("0" * 64, store)
    store.put("judge.json", b"{")
    with pytest.raises(DamagedStore, match="`labeling judge use` writes it again"):
        judges_of(store, "auto")


def test_the_most_novel_get_their_share_of_the_queue(store: FolderObjects, tmp_path: Path) -> None:
    """Twenty doubted masklets leave four places; of those that are as novel as can be, nine are left out."""
    label(store, tmp_path / "s", {f"{n}.mp4": (box_prompt(1),) for n in range(20)}, num_frames=30, lost_after=20)
    label(store, tmp_path / "s", {f"{n}.mp4": (box_prompt(1),) for n in range(20, 33)}, "late", num_frames=30)
    judge = step_judge(usual=[0.2, 0.3, 0.4])
    qc = QCConfig("own", [], file_of(tmp_path, judge))
    publish(store, qc, run_id="run")
    found = verdicts(store)
    novel = [at for at, verdict in found.items() if any(flag.reason == "unusual" for flag in verdict.flags)]
    routed = [at for at in novel if found[at].decision is Decision.REVIEW]
    assert (len(novel), len(routed)) == (13, 4)
    assert {found[at].risk for at in novel} == {0.1}
    (flag,) = found[novel[0]].flags
    assert (flag.signal, flag.threshold) == ("novelty", 3.0)
    # A person's word stands and gives nobody else the place.
    at = routed[0]
    said = ReviewDecision(found[at].video_id, at[1], 1, "accept", "ann", "2026-01-01T00:00:00+00:00")
    publish(store, qc, run_id="two", decisions=[said])
    after = verdicts(store)
    assert after[at].decision is Decision.ACCEPT
    assert [at for at in novel if after[at].decision is Decision.REVIEW] == routed[1:]
    # Where somebody set a bound on risk, that alone decides.
    publish(store, QCConfig("own", [], qc.judge, accept_risk=0.5), run_id="three")
    assert {verdict.decision for at, verdict in verdicts(store).items() if at in novel} == {Decision.ACCEPT}


def test_what_a_rule_refuses_is_not_let_in_for_being_novel(store: FolderObjects, tmp_path: Path) -> None:
    """Nobody doubts anything else, so there is one place for novel masklets, and none of them is refused or sure to be bad."""
    label(store, tmp_path / "s", {f"{n}.mp4": (box_prompt(1),) for n in range(3)}, num_frames=30)
    judge = file_of(tmp_path, step_judge(usual=[0.2, 0.3, 0.4]))
    for reject, decision in ((1e6, Decision.REJECT), (None, Decision.REVIEW)):
        rule = RuleConfig("area_median", "too_small", "at_least", 1e6, reject, [0.9, 0.95])
        publish(store, QCConfig("own", [rule], judge), run_id="run")
        found = verdicts(store).values()
        assert {verdict.decision for verdict in found} == {decision}
        assert {flag.reason for verdict in found for flag in verdict.flags} == {"too_small"}


def test_judges_are_told_apart_by_what_they_say() -> None:
    judge = step_judge()
    assert Judges(by_weights={"a": judge, "b": judge}).all == (judge,)
    assert Judges(named=judge).digests == {"by-hand": judge.digest}


def test_a_judge_is_asked_about_the_trackers_that_it_was_fitted_on() -> None:
    judge = replace(step_judge(), facts={"trained_on": {"tracker": {"sam2": 3, "samurai": 4}}})
    by_weights = Judges(by_weights={"w": judge, "any": step_judge()})
    rows = [{"checkpoint_sha256": weights, "tracker": name} for weights in ("w", "any") for name in ("samurai", "dam4sam")]
    assert [by_weights.of(row) is not None for row in rows] == [True, False, True, True]
    assert Judges(named=judge).of(rows[1]) is judge
    assert shipped_judges().of({"checkpoint_sha256": judge_at("nano").weights[0], "tracker": "sam2long"}) is None
