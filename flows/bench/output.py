"""What was measured, as tables on a console."""

from rich.console import Console
from rich.table import Table

from flows.bench.bench import Bench, is_untrained
from flows.bench.compare import PeerRow
from flows.bench.measure import STAGES, Row


def print_bench(bench: Bench, console: Console) -> None:
    """Print machine, rates, stages and the comparison."""
    console.print(machine_line(bench), markup=False, soft_wrap=True)
    console.print(rates_table(bench.rows))
    console.print(stages_table(bench.rows))
    if bench.peer:
        console.print(peer_table(bench.peer))
        console.print("both track as SAM 2 with holes left unfilled: the release has no SAMURAI", soft_wrap=True)
    if is_untrained(bench):
        console.print("[yellow]the network ran with random weights: its masks mean nothing, its speed does[/]")


def machine_line(bench: Bench) -> str:
    """Say what was measured, and on what, in one line."""
    machine, config = bench.machine, bench.config
    height, width = config["size_hw"]
    place = machine["gpu"] or f"{machine['cpu']}, {machine['threads']} of {machine['cores']} cores"
    return (
        f"{bench.date[:10]}  {config['model']['name']}, {config['precision']['name']}, {config['tracker']['name']}, "
        f"frames of {width} x {height}  on {place}, torch {machine['torch']}"
    )


def rates_table(rows: list[Row]) -> Table:
    """Frames/s, memory and what a worker gets done, a line for each pair."""
    table = Table(
        "objects", "frames", "frames/s from memory", "end to end", "share", "video hours/day/worker", "peak RSS MiB",
        "peak GPU MiB", title="the shortest pass of each kind", title_justify="left",
    )
    for row in rows:
        table.add_row(
            str(row.objects), str(row.length), f"{row.frames_per_second:.2f}", _number(row.end_to_end_fps, ".2f"),
            _number(row.end_to_end_share, ".0%"), f"{row.video_hours_per_day:.1f}", f"{row.peak_rss_mib:.0f}",
            _number(row.peak_gpu_mib, ".0f"),
        )
    return table


def stages_table(rows: list[Row]) -> Table:
    """Milliseconds a frame, a line for each stage."""
    title = f"milliseconds a frame, one pass {rows[0].stages_of}"
    heads = [f"{row.objects} x {row.length}" for row in rows]
    table = Table("stage, objects x frames", *heads, title=title, title_justify="left", show_footer=True)
    for stage in STAGES:
        if any(stage in row.stages_ms for row in rows):
            table.add_row(stage, *(_number(row.stages_ms.get(stage), ".2f") for row in rows))
    for column, footer in zip(table.columns, ["all", *(f"{sum(r.stages_ms.values()):.2f}" for r in rows)], strict=True):
        column.footer = footer
    for column in table.columns[1:]:
        column.justify = "right"
    return table


def peer_table(rows: list[PeerRow]) -> Table:
    """Seconds a frame of both packages, and how far their masks agree."""
    table = Table(
        "objects", "frames", "ours s/frame", "peer", "times as fast", "with reading: ours", "peer", "times as fast",
        "mean IoU", "equal pixels", "visible", title="beside the released package", title_justify="left",
    )
    for row in rows:
        table.add_row(
            str(row.objects), str(row.length), f"{row.ours_s:.4f}", f"{row.peer_s:.4f}", f"{row.speed_ratio:.2f}",
            f"{row.ours_whole_s:.4f}", f"{row.peer_whole_s:.4f}", f"{row.whole_speed_ratio:.2f}",
            f"{row.mean_iou:.4f}", f"{row.equal_pixels:.4%}", f"{row.visible:.0%}",
        )
    return table


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
