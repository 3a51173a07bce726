"""What a measurement holds, on tiny networks and clips; no timing is looked at."""

import dataclasses
import json
from pathlib import Path

import pytest
from rich.console import Console

from flows.bench import bench as benching
from flows.bench.bench import checked_device, run_bench
from flows.bench.measure import measure, measured_apart, stages_ms
from flows.bench.report import print_bench, write_plot
from flows.bench.results import Bench, BenchCase, BenchRow, PeerRow, write_bench
from flows.cli.app import run_command
from flows.configure import load_bench
from labeling.errors import BadConfiguration, LabelingError
from labeling.track.predictor import recipe_of

TINY = ["model=nano", "model.allow_untrained=true", "model.image_size=64", "size_hw=[48,64]", "repeats=2", "lengths=[4]"]
NETWORK = {"encode image", "memory attention", "decoder", "memory encoder", "RLE", "rest"}


def case_of(bucket: str | None = None, *, objects: int = 2) -> BenchCase:
    config = load_bench(TINY)
    recipe = recipe_of(config.model, config.precision, config.tracker)
    return BenchCase(recipe, None, "cpu", objects, 4, (48, 64), 2, bucket)


def bench_of(rows: list[BenchRow], peer: list[PeerRow]) -> Bench:
    machine = {"gpu": None, "cpu": "a processor", "threads": 1, "cores": 2, "torch": "2.15"}
    config = {"size_hw": [48, 64], "model": {"name": "nano"}, "precision": {"name": "fp32"}, "tracker": {"name": "sam2"}}
    return Bench("2026-01-02T03:04:05+00:00", "labeling bench", machine, config, "untrained", rows, peer)


def written(path: Path) -> Bench:
    """What a `bench.json` says, without the figures that follow from others."""
    values = json.loads(path.read_text(encoding="ascii"))
    for rows, kind in ((values["rows"], BenchRow), (values["peer"], PeerRow)):
        rows[:] = [kind(**{field.name: row[field.name] for field in dataclasses.fields(kind)}) for row in rows]
    return Bench(**values)



ROW = BenchRow(2, 4, 20.0, 512.0, None, 15.0, "end to end", {"decoder": 3.0, "rest": 1.0})
PEER_ROW = PeerRow(2, 4, 0.25, 0.5, 0.5, 0.75, 0.875, 0.99, 1.0)


def test_from_memory_and_end_to_end_give_every_field(s3: str) -> None:
    row = measure(case_of(s3))
    assert (row.objects, row.length, row.stages_of) == (2, 4, "end to end")
    assert set(row.stages_ms) == {*NETWORK, "fetch", "decode video", "QC signals", "Parquet write"}
    assert min(row.frames_per_second, row.end_to_end_fps or 0, row.peak_rss_mib) > 0
    assert all(ms > 0 for stage, ms in row.stages_ms.items() if stage != "rest")
    assert row.peak_gpu_mib is None


def test_a_child_measures_from_memory() -> None:
    row = measured_apart(case_of(objects=1), threads=1)
    assert (row.objects, row.end_to_end_fps, row.end_to_end_share, row.stages_of) == (1, None, None, "from memory")
    assert set(row.stages_ms) == NETWORK - {"RLE"}


def test_a_child_that_fails_is_said() -> None:
    lost = dataclasses.replace(case_of(), checkpoint="/no/such.pt")
    with pytest.raises(LabelingError, match="objects=2, length=4: the process that measures ended with code 1"):
        measured_apart(lost, threads=1)


def test_a_case_goes_through_json() -> None:
    case = case_of("s3://bench")
    assert BenchCase.from_dict(json.loads(json.dumps(dataclasses.asdict(case)))) == case


def test_what_no_stage_accounts_for_is_the_rest() -> None:
    by_stage = stages_ms({"decoder": 0.2, "fetch": 0.1}, 0.5, 10)
    assert list(by_stage) == ["fetch", "decoder", "rest"]
    assert list(by_stage.values()) == pytest.approx([10.0, 20.0, 20.0])


def test_hours_and_shares_follow_from_rates() -> None:
    assert ROW.end_to_end_share == 0.75
    assert ROW.video_hours_per_day == 12.0     # 15 of 30 frames/s, 24 hours
    assert dataclasses.replace(ROW, end_to_end_fps=None).video_hours_per_day == 16.0
    assert (PEER_ROW.speed_ratio, PEER_ROW.whole_speed_ratio) == (2.0, 1.5)


def test_numbers_come_back_and_a_picture_is_drawn(tmp_path: Path) -> None:
    rows = [ROW, dataclasses.replace(ROW, objects=4, frames_per_second=11.0)]
    for peer in ([], [PEER_ROW]):
        bench = bench_of(rows, peer)
        write_bench(tmp_path / "bench.json", bench)
        assert written(tmp_path / "bench.json") == bench
        assert write_plot(tmp_path / "bench.png", bench).read_bytes().startswith(b"\x89PNG")
    told = json.loads((tmp_path / "bench.json").read_text())
    assert told["rows"][0]["end_to_end_share"] == 0.75
    assert told["peer"][0]["speed_ratio"] == 2.0


def test_tables_say_the_figures() -> None:
    console = Console(width=200, record=True)
    print_bench(bench_of([ROW], [PEER_ROW]), console)
    told = console.export_text()
    figures = ("20.00", "15.00", "75%", "12.0", "512", "2.00", "0.8750", "99.0000%")
    for said in (*figures, "decoder", "a processor", "random weights"):
        assert said in told, said


def test_the_command_writes_what_it_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert run_command(["bench", *TINY, "repeats=1", "end_to_end=false", "device=cpu", "-o", str(out)]) == 0
    bench = written(out / "bench.json")
    assert bench.machine["cores"]
    assert bench.config["lengths"] == [4]
    assert bench.command.startswith("labeling bench model=nano")
    assert (out / "bench.png").is_file()
    assert "frames/s from memory" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["peer=/no/such"], "peer is '/no/such'; expected a checkout of the released package"),
        (["device=warp"], "device is 'warp'; expected cpu"),
        (["model.checkpoint=/no/such.pt"], "model.checkpoint is '/no/such.pt'; expected a file"),
    ],
    ids=lambda v: v[0] if isinstance(v, list) else "",
)
def test_what_cannot_be_measured_is_refused_first(
    overrides: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benching, "measured_apart", lambda *_, **__: pytest.fail("it measured"))
    with pytest.raises(BadConfiguration) as caught:
        run_bench(load_bench([*TINY, *overrides]), Console())
    assert message in str(caught.value)


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(BadConfiguration, match="a folder with other files"):
        run_bench(load_bench([*TINY, f"out={tmp_path}"]), Console())
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_a_device_is_one_that_torch_has() -> None:
    assert checked_device("cpu") == "cpu"
    assert checked_device(None) in ("cpu", "cuda")
