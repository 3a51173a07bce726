"""A backfill over three prefixes, interrupted once; over days and a manifest; and one that is poisoned."""

import json
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows import label_dataset as label_dataset_module
from flows.backfill import Days, backfill, globs_of, look_ahead
from flows.cli.app import app
from flows.configure import load_config
from flows.run.progress import overspent
from labeling.errors import BadConfiguration
from labeling.store.reader import read_masklets
from tests.fixtures_clips import write_clip
from tests.flows.conftest import Dataset, prompt_row

runs = pytest.mark.usefixtures("prefect_server", "ray_here")
# Ray and Prefect leave sockets and loops to the collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")

DAYS = ("2026/03/30", "2026/03/31", "2026/04/01")


@pytest.fixture
def three_days(dataset: Dataset) -> Dataset:
    """A clip on each of three days."""
    for day in DAYS:
        (dataset.clips / day).mkdir(parents=True)
        write_clip(dataset.clips / day / "a.mp4", num_frames=4)
        dataset.rows.append(prompt_row(f"{day}/a.mp4", 1))
    return dataset


@runs
def test_three_prefixes_interrupted_once(three_days: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    config = three_days.config()
    globs = globs_of(config, prefixes=DAYS)
    ahead = look_ahead(config, globs)
    assert [(part.num_videos, part.num_due) for part in ahead.parts] == [(1, 1)] * 3
    assert (ahead.video_hours, ahead.wall_hours) == (None, None)

    publish, called = label_dataset_module.publish_accepting, []

    def interrupted_at_the_second(*args: object, **kwargs: object) -> object:
        called.append(1)
        if len(called) == 2:
            raise KeyboardInterrupt
        return publish(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(label_dataset_module, "publish_accepting", interrupted_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        backfill(config, ahead)
    monkeypatch.undo()

    left = look_ahead(config, globs)
    assert [part.num_due for part in left.parts] == [0, 0, 1]
    assert left.unpublished == 1
    assert left.video_hours == pytest.approx(4 / 12 / 3600, rel=0.5)
    done = backfill(config, left)
    assert (done.finished, done.dead, done.stopped) == (1, {}, "")
    found = {m.video.ref.key: m.masklet.label_version for m in read_masklets(str(three_days.root))}
    assert found == {f"{day}/a.mp4": 1 for day in DAYS}
    over = look_ahead(config, globs)
    assert (over.num_due, over.due_parts) == (0, ())


@runs
def test_the_failure_budget_stops_a_poisoned_backfill(dataset: Dataset) -> None:
    for number in range(12):
        for folder in ("one", "two"):
            (dataset.clips / folder).mkdir(exist_ok=True)
            (dataset.clips / folder / f"{number}.mp4").write_bytes(b"a film about dogs\n" * 50)
            dataset.rows.append(prompt_row(f"{folder}/{number}.mp4", 1))
    config = dataset.config("run.max_dead_letter_share=0.2")
    seen: list[str] = []
    ahead = look_ahead(config, globs_of(config, prefixes=["one", "two"]))
    done = backfill(config, ahead, lambda part, _: seen.append(part.glob))
    assert seen == ["one/**"]
    assert done.dead == {"not_a_video": 5}
    assert "5 of 5 videos (100%) became dead letters" in done.stopped
    assert "5 of them for not_a_video" in done.stopped


def test_the_share_is_of_the_videos_done_and_of_twenty_at_least() -> None:
    assert not overspent(4, {"a": 4}, 0.2)
    assert overspent(5, {"a": 5}, 0.2)
    assert not overspent(100, {"a": 15, "b": 5}, 0.2)
    assert "15 of them for b" in overspent(100, {"a": 6, "b": 15}, 0.2)
    assert not overspent(1000, {"a": 1000}, 1.0)


def test_days_across_a_month() -> None:
    days = Days(date(2026, 3, 30), date(2026, 4, 1), "%Y/%m/%d/**")
    assert globs_of(load_config(), days=days) == tuple(f"{day}/**" for day in DAYS)
    by_month = Days(date(2026, 3, 30), date(2026, 4, 1), "cam*/%Y-%m/**")
    assert globs_of(load_config(), days=by_month) == ("cam*/2026-03/**", "cam*/2026-04/**")
    with pytest.raises(BadConfiguration, match="earlier one first"):
        Days(date(2026, 4, 1), date(2026, 3, 30), "%d/**")
    with pytest.raises(BadConfiguration, match="a glob with dates in it"):
        Days(date(2026, 4, 1), date(2026, 4, 1), "**")


def test_one_kind_of_part() -> None:
    with pytest.raises(BadConfiguration, match="given: nothing"):
        globs_of(load_config())
    with pytest.raises(BadConfiguration, match=r"prefixes and source\.manifest"):
        globs_of(load_config(["source.manifest=list.jsonl"]), prefixes=["a"])
    assert globs_of(load_config(["source.manifest=list.jsonl"])) == ("**",)
    assert globs_of(load_config(["source.glob=**/*.mp4"]), prefixes=["/a[1]{x}/"]) == ("a[[]1][{]x[}]/**/*.mp4",)


def test_a_prefix_is_taken_literally(tmp_path: Path) -> None:
    for folder in ("a[1]{x}", "a1x"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "v.mp4").write_bytes(b"x")
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text(json.dumps(prompt_row("a1x/v.mp4", 1)) + "\n")
    config = load_config([f"source.uri={tmp_path}", f"prompts.uri={prompts}", f"store.root={tmp_path / 'store'}"])
    (part,) = look_ahead(config, globs_of(config, prefixes=["a[1]{x}"])).parts
    assert (part.num_videos, part.num_due) == (1, 0)


def test_a_dry_run_labels_nothing(three_days: Dataset) -> None:
    days = ["--from", "2026-03-30", "--to", "2026-04-01", "--pattern", "%Y/%m/%d/**", "--dry-run"]
    told = CliRunner().invoke(app, ["backfill", *three_days.overrides(), *days])
    assert told.exit_code == 0, told.output
    assert "3 of 3 videos are due" in told.output
    assert not (three_days.root / "masks").exists()
