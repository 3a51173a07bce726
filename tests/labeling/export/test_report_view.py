"""Numbers in words, order and embedding, as the report shows them."""

import base64
from pathlib import Path

import pytest

from labeling.export.records import TrackEvidence, TrackReport
from labeling.export.report_view import data_uri, duration, number, reason_shares, track_view, verdict_shares, worst_first
from labeling.types import RLE, Decision, FrameMask, QCFlag


def track(key: str, decision: Decision, risk: float, *reasons: str, evidence: TrackEvidence | None = None) -> TrackReport:
    flags = tuple(QCFlag(reason, "x", 1.0, 0.5, (0, 1)) for reason in reasons)
    return TrackReport("a" * 16, key, "1", 1, None, decision, risk, flags, evidence=evidence)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0.0 s"), (9.94, "9.9 s"), (42.4, "42 s"), (59.7, "1 min 0 s"), (125, "2 min 5 s"),
        (3599.9, "1 h 0 min"), (90_061, "25 h 1 min"),
    ],
)
def test_durations_are_said_in_two_units(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, "\N{EN DASH}"), (0, "0"), (12_345, "12,345"), (1234.5, "1,234"), (0.12345, "0.123"), (-3.0, "-3"), (2e-5, "2e-05")],
)
def test_numbers_keep_what_matters(value: float | None, said: str) -> None:
    assert number(value) == said


def test_the_worst_come_first_and_shares_count_masklets() -> None:
    tracks = [
        track("a", Decision.ACCEPT, 0.9), track("b", Decision.REVIEW, 0.2, "swap", "swap"),
        track("c", Decision.REVIEW, 0.7, "leak", "swap"), track("d", Decision.REJECT, 0.1),
    ]
    assert [t.video_key for t in worst_first(tracks)] == ["d", "c", "b", "a"]
    assert [(s.label, s.count, s.percent) for s in verdict_shares(tracks)] == [
        ("accept", 1, 25.0), ("review", 2, 50.0), ("reject", 1, 25.0),
    ]
    assert [(s.label, s.count, s.percent) for s in reason_shares(tracks)] == [("swap", 2, 50.0), ("leak", 1, 25.0)]
    assert [s.percent for s in verdict_shares([])] == [0.0, 0.0, 0.0]


def test_pictures_are_embedded_while_they_fit(tmp_path: Path) -> None:
    strip, clip = tmp_path / "s.jpg", tmp_path / "c.mp4"
    strip.write_bytes(b"1" * 300)
    clip.write_bytes(b"2" * 3000)
    frames = [FrameMask(0, 0.0, RLE((9, 9), "0"), 0, None, 0.5, -2.0)]
    shown = track("a", Decision.REJECT, 1.0, evidence=TrackEvidence(frames, 0.0, strip, clip, "Source moved."))
    whole = track_view(shown, position=0, embed_bytes=10_000)
    assert base64.b64decode(whole.preview_uri.removeprefix("data:video/mp4;base64,")) == b"2" * 3000
    assert whole.filmstrip_uri == data_uri(strip)
    assert whole.note == "Source moved."
    tight = track_view(shown, position=0, embed_bytes=1000)
    assert tight.filmstrip_uri
    assert tight.preview_uri == ""
    assert tight.note == "Source moved. The preview is not embedded, to keep this page small: previews/c.mp4"
