"""What was measured, as tables on a console and as a picture of rates and of what a frame's time goes to."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter
from rich.console import Console
from rich.table import Table

from flows.bench.measure import STAGES
from flows.bench.results import Bench, BenchRow, PeerRow
from labeling.export.plots import LIGHT, dress, figure_png

LINES = (LIGHT.first, LIGHT.second, LIGHT.third, LIGHT.review, LIGHT.reject)
# Okabe and Ito's hues, dark and light beside each other; what is not the network's is grey or brown.
STAGE_COLOURS = dict(zip(
    STAGES,
    ("#b9b1a5", "#8c7a5b", "#0072b2", "#56b4e9", "#009e73", "#8fd0b5", "#e69f00", "#f2d18a", "#d55e00", "#8c99a6"),
    strict=True,
))


def print_bench(bench: Bench, console: Console) -> None:
    """Print machine, rates, stages and the comparison."""
    console.print(machine_line(bench), markup=False, soft_wrap=True)
    console.print(rates_table(bench.rows))
    console.print(stages_table(bench.rows))
    if bench.peer:
        console.print(peer_table(bench.peer))
        console.print("both track as SAM 2 with holes left unfilled: the release has no SAMURAI", soft_wrap=True)
    if bench.untrained:
        console.print("[yellow]the network ran with random weights: its masks mean nothing, its speed does[/]")


def machine_line(bench: Bench) -> str:
    """Say what was measured, and on what, in one line."""
    machine, config = bench.machine, bench.config
    height, width = config["size_hw"]
    hardware = machine["gpu"] or f"{machine['cpu']}, {machine['threads']} of {machine['cores']} cores"
    return (
        f"{bench.date[:10]}  {config['model']['name']}, {config['precision']['name']}, {config['tracker']['name']}, "
        f"frames of {width} x {height}  on {hardware}, torch {machine['torch']}"
    )


def rates_table(rows: list[BenchRow]) -> Table:
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


def stages_table(rows: list[BenchRow]) -> Table:
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


def write_plot(path: Path, bench: Bench) -> Path:
    """Write `draw_bench` as PNG and return the path."""
    path.write_bytes(figure_png(draw_bench(bench)))
    return path


def draw_bench(bench: Bench) -> Figure:
    """Draw rates on the left, stages on the right and, where there was a peer, the two packages below."""
    heights = [max(2.4, 0.5 + 0.4 * len(bench.rows))] + ([0.8 + 0.5 * len(bench.peer)] if bench.peer else [])
    figure = Figure(figsize=(10, 0.8 + sum(heights)), layout="constrained")
    figure.suptitle(machine_line(bench), fontsize=8, color=LIGHT.muted)
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    rates, stages = parts[0].subplots(1, 2, width_ratios=(1, 1.5))
    _draw_rates(rates, bench.rows)
    _draw_stages(stages, bench.rows)
    if bench.peer:
        _draw_peer(parts[1].subplots(), bench.peer)
    return figure


def _draw_rates(axes: Axes, rows: Sequence[BenchRow]) -> None:
    by_objects = len({row.objects for row in rows}) > 1 or len({row.length for row in rows}) == 1
    along, across = ("objects", "length") if by_objects else ("length", "objects")
    dress(axes, LIGHT)
    for colour, held in zip(LINES * len(rows), sorted({getattr(row, across) for row in rows}), strict=False):
        chosen = sorted((row for row in rows if getattr(row, across) == held), key=lambda row: int(getattr(row, along)))
        x = [getattr(row, along) for row in chosen]
        name = f"{held} frames" if by_objects else f"{held} object{'s' if held > 1 else ''}"
        bare = [row.frames_per_second for row in chosen]
        axes.plot(x, bare, color=colour, marker="o", markersize=4, linewidth=1.5, label=f"{name}, from memory")
        if chosen[0].end_to_end_fps is not None:
            whole = [row.end_to_end_fps or 0.0 for row in chosen]
            axes.plot(x, whole, color=colour, marker="s", markersize=4, linewidth=1.5, linestyle="--",
                      label=f"{name}, end to end")
    ticks = sorted({int(getattr(row, along)) for row in rows})
    if len(ticks) > 1:
        axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set(xlabel="objects" if by_objects else "frames of the clip", ylabel="frames/s")
    axes.set_ylim(bottom=0)
    axes.margins(y=0.15)
    axes.legend(frameon=False, fontsize=8, labelcolor=LIGHT.muted)


def _draw_stages(axes: Axes, rows: Sequence[BenchRow]) -> None:
    dress(axes, LIGHT)
    axes.grid(False, axis="y")
    names = [f"{row.objects} x {row.length}" for row in rows]
    ends = [0.0] * len(rows)
    for stage in STAGES:
        if not any(stage in row.stages_ms for row in rows):
            continue
        widths = [row.stages_ms.get(stage, 0.0) for row in rows]
        axes.barh(names, widths, left=ends, color=STAGE_COLOURS[stage], label=stage, height=0.62)
        ends = [end + width for end, width in zip(ends, widths, strict=True)]
    axes.invert_yaxis()
    axes.set(xlabel=f"milliseconds a frame, {rows[0].stages_of}", ylabel="objects x frames")
    axes.legend(
        frameon=False, fontsize=8, labelcolor=LIGHT.muted, ncols=5, loc="lower left", bbox_to_anchor=(0, 1.0),
        handlelength=1.0, columnspacing=1.0, borderaxespad=0.2,
    )


def _draw_peer(axes: Axes, rows: Sequence[PeerRow]) -> None:
    dress(axes, LIGHT)
    axes.grid(False, axis="y")
    for k, row in enumerate(rows):
        for offset, seconds, colour, name in (
            (-0.19, row.ours_s, LIGHT.first, "this package"), (0.19, row.peer_s, LIGHT.absent, "the released one"),
        ):
            axes.barh(k + offset, 1000 * seconds, height=0.36, color=colour, label=name if k == 0 else None)
        label = f" {row.speed_ratio:.2f} times as fast, mean IoU {row.mean_iou:.4f}"
        axes.text(1000 * row.ours_s, k - 0.19, label, va="center", fontsize=8, color=LIGHT.ink)
    longest = max(max(row.ours_s, row.peer_s) for row in rows)
    axes.set(xlim=(0, 1400 * longest), xlabel="milliseconds a frame, propagation alone", ylabel="objects x frames")
    axes.set_yticks(range(len(rows)), [f"{row.objects} x {row.length}" for row in rows])
    axes.invert_yaxis()
    axes.legend(frameon=False, fontsize=8, labelcolor=LIGHT.muted, loc="lower right")
