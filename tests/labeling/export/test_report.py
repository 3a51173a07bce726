"""The page stands alone, is read by keyboard and screen reader, says the run's numbers, and runs nothing it was told."""

import base64
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import pytest
from PIL import Image

from labeling.config import QCConfig, RuleConfig
from labeling.export import report
from labeling.export.records import DeadEntry, RunReport, TrackEvidence, TrackReport, TruthRow
from labeling.export.report import (
    data_uri,
    duration,
    number,
    reason_shares,
    render_report,
    track_view,
    verdict_shares,
    without_passwords,
    worst_first,
    write_report,
)
from labeling.objects import open_objects
from labeling.review.figures import BacklogStep, Effort, Throughput
from labeling.types import RLE, Decision, FrameMask, QCFlag

QC = QCConfig("default", [RuleConfig("predicted_iou_softmin", "low_predicted_iou", "at_least", 0.75, 0.4)])
FLAG = QCFlag("low_predicted_iou", "predicted_iou_softmin", 0.52, 0.75, (4, 9))
VOID = {"meta", "link", "img", "br", "input", "hr"}


class Page(HTMLParser):
    """Every element with its attributes, and the tags that stay open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open_tags: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in VOID:
            self.open_tags.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open_tags, f"</{tag}> closes nothing"
        assert self.open_tags.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.text += f"{data} "

    def named(self, tag: str) -> list[dict[str, str]]:
        return [attrs for name, attrs in self.elements if name == tag]


def frame(index: int, *, area: int = 900) -> FrameMask:
    box = (4.0, 4.0, 30.0, 30.0) if area else None
    return FrameMask(index, index / 12, RLE((90, 160), "0"), area, box, 0.8, 4.0 if area else -5.0, motion_iou=0.7)


def track(number: int, decision: Decision = Decision.ACCEPT, risk: float = 0.1, **parts: object) -> TrackReport:
    return TrackReport(
        f"{number:016x}", f"clips/{number}.mp4", "1", 1, "car", decision, risk,
        values={"predicted_iou_softmin": 0.9 - risk / 2}, **parts,  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def run() -> RunReport:
    return RunReport(
        "r1", "s3://labels/demo", "2025-01-01 10:00", "2025-01-01 10:02", 120.0, 4, 2, 1, 3, 1440, 960, 80.0, 2, QC,
        snapshot="v000001", seconds_by_stage={"decode": 10.0, "track": 90.0}, model="sam2.1_nano", tracker="samurai",
        checkpoint_sha256="ab" * 32, config={"run": {"review_url": "postgresql://me:hunter2@db/x"}},
        dead_letters=(DeadEntry("broken.mp4", "decode_error", "broken.mp4 ends after 15 of 48 frames"),),
        truth=(TruthRow("clips/1.mp4", 1, 0.8, 0.9),), replay_command="labeling dead-letters replay r1",
    )


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> list[TrackReport]:
    tmp_path = tmp_path_factory.mktemp("pictures")
    strip, preview = tmp_path / "a-strip.png", tmp_path / "a.mp4"
    Image.new("RGB", (80, 20), (200, 30, 30)).save(strip)
    preview.write_bytes(b"\0" * 3000)
    shown = TrackEvidence([frame(i, area=0 if i in (5, 6) else 900) for i in range(12)], -1.0, strip, preview)
    return [
        track(1), track(2, Decision.REVIEW, 0.6, flags=(FLAG,), evidence=replace(shown, preview=None, filmstrip=None)),
        track(3, Decision.REJECT, 0.9, flags=(FLAG, replace(FLAG, reason="drift")), evidence=shown),
    ]


@pytest.fixture(scope="module")
def text(run: RunReport, tracks: list[TrackReport]) -> str:
    return render_report(run, tracks)


def test_the_page_asks_for_nothing_from_outside(text: str) -> None:
    page = Page(text)
    for tag, attrs in page.elements:
        assert tag not in ("script", "link", "iframe", "object")
        for name in ("src", "href", "xlink:href", "poster"):
            assert attrs.get(name, "#").startswith(("#", "data:")), (tag, attrs[name])
    policy = [meta["content"] for meta in page.named("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"]


def test_the_page_is_well_formed_and_can_be_read_without_seeing_it(text: str) -> None:
    page = Page(text)
    assert page.open_tags == []
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    targets = [attrs["href"][1:] for _, attrs in page.elements if attrs.get("href", "").startswith("#")]
    targets += [attrs["aria-labelledby"] for _, attrs in page.elements if "aria-labelledby" in attrs]
    assert targets
    assert set(targets) <= set(ids)
    assert len(page.named("table")) == len(page.named("caption"))
    assert all(head.get("scope") in ("row", "col") for head in page.named("th"))
    assert all(picture["alt"] for picture in page.named("img"))
    assert all(video["aria-label"] and "controls" in video for video in page.named("video"))
    assert all(svg["aria-hidden"] == "true" for svg in page.named("svg"))
    assert sum("Histogram of predicted_iou_softmin: 3 masklets" in f.get("aria-label", "") for f in page.named("figure")) == 1
    assert any("empty mask on 2 frames" in f.get("aria-label", "") for f in page.named("figure"))


def test_numbers_reasons_and_order_are_those_of_the_records(run: RunReport, tracks: list[TrackReport], text: str) -> None:
    words = re.sub(r"\s+", " ", Page(text).text)
    # 960 frames in 120 s; 80 s of video in 120 s by 2 workers are 8 hours a day each.
    assert run.frames_per_second == 8.0
    assert run.video_hours_per_day_per_worker == 8.0
    assert "Hours of video a day, per worker 8 " in words
    assert "of 4 listed, 1 not due" in words
    assert "broken.mp4 decode_error broken.mp4 ends after 15 of 48 frames 1" in words
    assert "labeling dead-letters replay r1" in words
    assert "0.850" in words
    assert words.index("clips/3.mp4, object 1") < words.index("clips/2.mp4, object 1")
    assert "low_predicted_iou the tracker doubts its own masks 2 66.7" in words
    assert "review below 0.75" in words
    assert text == render_report(run, tracks)


def test_what_a_name_or_message_holds_is_text_and_passwords_stay_out(run: RunReport) -> None:
    nasty = "<script>alert(1)</script>"
    run = replace(run, run_id=nasty, dead_letters=(DeadEntry(nasty, nasty, nasty),), notes=(nasty,))
    shown = replace(track(1), video_key=f'"><img src=x onerror=1>{nasty}', evidence=TrackEvidence([frame(0), frame(1)]))
    text = render_report(run, [shown])
    assert "<script" not in text
    assert "<img src=x" not in text
    assert "hunter2" not in text
    assert "postgresql://me:***@db/x" in text
    assert without_passwords("s3://bucket/a:b@c http://h:80/x") == "s3://bucket/a:b@c http://h:80/x"


def test_colours_come_from_the_page_so_that_dark_and_light_both_work(text: str) -> None:
    drawn = "".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL))
    assert "var(--first)" in drawn
    assert "#0101" not in drawn
    used = set(re.findall(r"var\((--[a-z-]+)\)", text))
    root = text[text.index(":root {"):text.index("@media (prefers-color-scheme: dark)")]
    defined = set(re.findall(r"(--[a-z-]+):", text))
    assert used <= defined
    assert all(f"{name}:" in root or name in ("--tone", "--soft") for name in used)


def test_a_run_with_nothing_in_it_still_gives_a_page(run: RunReport) -> None:
    bare = replace(run, num_frames=0, video_seconds=0.0, dead_letters=(), truth=(), seconds_by_stage={}, config={})
    text = render_report(bare, [])
    assert Page(text).open_tags == []
    assert "The dataset holds no masklet yet" in text
    assert bare.frames_per_second is None
    assert "every video that was due is labelled" in text


def test_pictures_past_the_cap_stay_beside_the_page_and_the_page_says_so(
    run: RunReport, tracks: list[TrackReport], tmp_path: Path
) -> None:
    objects = open_objects(str(tmp_path / "store"))
    uri = write_report(objects, run, tracks, embed_mib=1000 / 2**20)
    page = objects.get("runs/r1/report.html").decode()
    assert uri == objects.uri("runs/r1/report.html")
    assert "<video" not in page
    assert page.count('src="data:image/png') == 1
    assert "The preview is not embedded, to keep this page small: previews/a.mp4" in page
    assert objects.get("runs/r1/previews/a.mp4") == b"\0" * 3000
    write_report(objects, run, tracks)
    assert "data:video/mp4;base64," in objects.get("runs/r1/report.html").decode()


def test_what_reviewing_took_is_shown_where_there_was_any(run: RunReport, text: str) -> None:
    assert 'id="review"' not in text
    begun = datetime(2026, 3, 1, 12, tzinfo=UTC)
    review = Throughput((Effort("<ada>", "correct", 2, 30.0, 2, 7),), (BacklogStep(begun, 5, 0), BacklogStep(begun, 3, 2)))
    page = Page(render_report(replace(run, review=review), []))
    words = " ".join(page.text.split())
    assert "<ada> correct 2 15 3.5 240" in words
    assert "2026-03-01 12:00 3 2" in words
    idle = render_report(replace(run, review=replace(review, efforts=())), [])
    assert "Nobody has decided anything yet" in idle


def test_records_refuse_what_cannot_be(run: RunReport) -> None:
    with pytest.raises(ValueError, match=r"risk is 1\.5; expected a number in \[0, 1\]"):
        track(1, risk=1.5)
    with pytest.raises(ValueError, match="wall_seconds is -1"):
        replace(run, wall_seconds=-1)


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    parts = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    lighter, darker = sorted((luminance(first), luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_marks_stand_out_in_both_schemes(scheme: str) -> None:
    style = files("labeling.export").joinpath("report.css").read_text()
    blocks = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", blocks[0]))
    if scheme == "dark":
        colours |= dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", blocks[1]))
    for text in ("ink", "muted", "first", "accept", "review", "reject"):
        for ground in ("page", "surface"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for verdict in ("accept", "review", "reject"):
        assert contrast(colours[verdict], colours[f"{verdict}-soft"]) >= 4.5, verdict
    for line in ("second", "third"):
        assert contrast(colours[line], colours["surface"]) >= 3, line


def judged(key: str, decision: Decision, risk: float, *reasons: str, evidence: TrackEvidence | None = None) -> TrackReport:
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
        judged("a", Decision.ACCEPT, 0.9), judged("b", Decision.REVIEW, 0.2, "swap", "swap"),
        judged("c", Decision.REVIEW, 0.7, "leak", "swap"), judged("d", Decision.REJECT, 0.1),
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
    shown = judged("a", Decision.REJECT, 1.0, evidence=TrackEvidence(frames, 0.0, strip, clip, "Source moved."))
    whole = track_view(shown, position=0, embed_bytes=10_000)
    assert base64.b64decode(whole.preview_uri.removeprefix("data:video/mp4;base64,")) == b"2" * 3000
    assert whole.filmstrip_uri == data_uri(strip)
    assert whole.note == "Source moved."
    tight = track_view(shown, position=0, embed_bytes=1000)
    assert tight.filmstrip_uri
    assert tight.preview_uri == ""
    assert tight.note == "Source moved. The preview is not embedded, to keep this page small: previews/c.mp4"


def test_a_plot_that_cannot_be_drawn_costs_itself_alone(
    run: RunReport, tracks: list[TrackReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OverflowError("no scale")

    monkeypatch.setattr(report, "draw_scores", fail)
    monkeypatch.setattr(report, "draw_histogram", fail)
    page = render_report(run, tracks)
    assert page.count("No plot: OverflowError: no scale") > 1
    assert "<video" in page, "its preview is shown all the same"
