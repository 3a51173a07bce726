"""Certificates: canonical, read back as they were written, carried along, and void when what they stand on changes."""

from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa
import pytest

from labeling.certify.audit import Basis, basis_of, draw
from labeling.certify.certificate import (
    Certificate,
    accepted_in,
    certificate_beside,
    certificate_from,
    certificate_of,
    newest_certificate,
    why_void,
)
from labeling.certify.examine import examine
from labeling.certify.page import carry_along, render, write_certificate
from labeling.certify.thresholds import Finding, Promise, Terms
from labeling.errors import BadConfiguration, DamagedStore
from labeling.export.selection import select
from labeling.objects import Objects
from labeling.store import layout
from labeling.store.commit import commit
from labeling.store.contents import Contents
from labeling.store.documents import read_document
from labeling.store.snapshots import Snapshot, read_contents
from labeling.store.versions.card import CARD, README
from tests.labeling.certify.conftest import made_already, with_verdicts
from tests.labeling.certify.test_examine import answered


def certified(objects: Objects, promise: Promise) -> tuple[Certificate, Snapshot]:
    """A store of 300 good masklets and its certificate, not yet written."""
    snapshot = with_verdicts(objects, made_already(objects, 60), [n / 300 for n in range(300)])
    made = draw(objects, snapshot, promise=promise, count=120, seed=1)
    found = examine(objects, snapshot, Terms(promise), answered(made, ()), dataset="made").certificate
    assert found is not None
    return found, snapshot


def with_rejected(objects: Objects, before: Snapshot, numbers: Sequence[int], by: str | None) -> Snapshot:
    """The next snapshot, in which some masklets are rejected, by a person or by the rules."""
    contents = read_contents(objects, before)
    rows = contents.verdicts.to_pylist()
    for number in numbers:
        rows[number] |= {"verdict": "reject", "decided_by": by, "decided_at": "2030-01-01T00:00:00+00:00" if by else None}
    verdicts = pa.Table.from_pylist(rows, contents.verdicts.schema)
    after = Contents(contents.ledger, contents.files, contents.tracks, contents.videos, verdicts)
    made = commit(objects, before, after, dict(before.qc), run_id="rejected")
    assert made is not None
    return made


@pytest.mark.parametrize("promise", list(Promise))
def test_it_is_read_back_as_it_was_written_and_the_card_says_it(objects: Objects, promise: Promise) -> None:
    certificate, snapshot = certified(objects, promise)
    page = write_certificate(objects, snapshot, certificate)
    assert certificate_beside(objects, snapshot.version) == certificate
    assert newest_certificate(objects) == (certificate, snapshot.version)
    assert certificate.to_json() == certificate.to_json()
    assert objects.get(layout.certificate(snapshot.version)) == certificate.to_json()
    card = read_document(objects, f"{layout.snapshot_folder(snapshot.version)}{CARD}", dict)
    assert card["certificate"]["sentence"] == certificate.sentence
    readme = objects.get(f"{layout.snapshot_folder(snapshot.version)}{README}").decode()
    assert certificate.sentence in readme
    assert page.endswith(f"{snapshot.name}/certificate.html")


def test_an_export_of_some_of_the_accepted_carries_no_promise(objects: Objects) -> None:
    certificate, snapshot = certified(objects, Promise.WHOLE)
    write_certificate(objects, snapshot, certificate)
    whole = select(objects)
    assert whole.certificate == certificate
    (category,) = whole.categories
    assert select(objects, categories=[category]).certificate is None
    assert select(objects, videos_in=[video.video.ref.video_id for video in whole.videos[1:]]).certificate is None
    assert select(objects, verdicts=["accept", "review"]).certificate is None


@pytest.mark.parametrize("promise", list(Promise))
def test_the_page_says_all_of_it(objects: Objects, promise: Promise) -> None:
    certificate, _ = certified(objects, promise)
    text = render(certificate)
    for said in (certificate.sentence, str(certificate.seed), certificate.basis.judge, certificate.digest, "ada", "120",
                 "d000001", f"{100 * certificate.bound:.2f} %", "untrained"):
        assert said in text, said
    assert "<script" not in text


def test_the_sentences() -> None:
    basis = Basis(("w",), ("t",), ("s",), "j")
    shown = Finding(0.3125, 300, 250, 3, 0.0301)

    def sentence(promise: Promise) -> str:
        snapshot = Snapshot(4, 3, "run", "2030-01-01T00:00:00+00:00", *("",) * 5, counts={}, qc={})
        return certificate_of(
            Terms(promise), shown, snapshot=snapshot, dataset="cars", population=900, accepted=frozenset(), most_bad=9,
            unanswered=0, reviewers={}, sighted=0, draws=("d000001",), seed=1, basis=basis,
        ).sentence

    assert sentence(Promise.WHOLE) == (
        "Of all masklets, at most 5 % are bad and accepted at a risk of 0.312 or less, with confidence 95 %."
    )
    assert sentence(Promise.ACCEPTED).startswith("Of the masklets that are accepted at a risk of 0.312 or less, at most 5 %")
    assert sentence(Promise.LOT).startswith("At most 5 % of the 0 accepted masklets of v000004 are bad")


def test_there_is_none_of_what_was_not_shown() -> None:
    with pytest.raises(BadConfiguration, match="no certificate"):
        certificate_of(
            Terms(Promise.WHOLE), Finding(None, 1, 1, 1, 1.0, 9), snapshot=None, dataset="", population=1,
            accepted=frozenset(), most_bad=0, unanswered=0, reviewers={}, sighted=0, draws=(), seed=1,
            basis=Basis((), (), (), ""),
        )


def test_one_that_was_changed_by_hand_is_damaged(objects: Objects) -> None:
    certificate, snapshot = certified(objects, Promise.WHOLE)
    objects.put(layout.certificate(snapshot.version), certificate.to_json().replace(b'"bad":0', b'"bad":1'))
    with pytest.raises(DamagedStore, match="sha256"):
        certificate_beside(objects, snapshot.version)
    with pytest.raises(KeyError):
        certificate_from({})


def test_it_is_carried_along_until_what_it_stands_on_changes(objects: Objects) -> None:
    certificate, snapshot = certified(objects, Promise.WHOLE)
    assert carry_along(objects, snapshot) == ""
    assert certificate_beside(objects, snapshot.version) is None
    write_certificate(objects, snapshot, certificate)
    later = with_verdicts(objects, snapshot, [0.5] * 300, accept_risk=certificate.threshold)
    assert carry_along(objects, later) == ""
    held = certificate_beside(objects, later.version)
    assert held == replace(certificate, carried_to=later.name)
    assert held.digest == certificate.digest
    assert "carried along" in render(held)
    rule = {"reason": "swap", "signal": "frozen", "bound": "at_most", "review": 1.0, "reject": None}
    after = with_verdicts(objects, later, [0.5] * 300, accept_risk=certificate.threshold, rules=[rule])
    assert carry_along(objects, after) == "the judge changed"
    assert certificate_beside(objects, after.version) is None
    back = with_verdicts(objects, after, [0.5] * 300, rules=[], accept_risk=0.125)
    assert carry_along(objects, back) == "masklets are accepted up to another risk (0.125)"


def test_each_part_of_the_basis_voids_it(objects: Objects) -> None:
    certificate, before = certified(objects, Promise.WHOLE)
    snapshot = with_verdicts(objects, before, [0.5] * 300, accept_risk=certificate.threshold)
    basis = basis_of(objects, snapshot)
    assert why_void(certificate, objects, snapshot, basis) == ""
    changes = {"weights": "the weights", "trackers": "the tracker", "sources": "the source", "judge": "the judge"}
    for name, words in changes.items():
        other = replace(basis, **{name: "other" if name == "judge" else ("other",)})
        assert why_void(certificate, objects, snapshot, other) == f"{words} changed"


def test_a_lots_certificate_stands_while_nothing_joins_the_lot(objects: Objects) -> None:
    certificate, snapshot = certified(objects, Promise.LOT)
    basis = basis_of(objects, snapshot)
    assert len(accepted_in(objects, snapshot)) == 300
    thrown_out = with_rejected(objects, snapshot, range(3), "ada")
    assert why_void(certificate, objects, thrown_out, basis) == ""
    many_gone = with_rejected(objects, thrown_out, range(3, 290), None)
    assert "left the lot" in why_void(certificate, objects, many_gone, basis)
    back = with_verdicts(objects, many_gone, [0.5] * 300)
    assert why_void(certificate, objects, back, basis) == ""
    fewer = replace(certificate, lot_sha256="0" * 64)
    assert "not of the lot" in why_void(fewer, objects, back, basis)
    gone = replace(certificate, snapshot="v000999")
    assert "is gone" in why_void(gone, objects, back, basis)
