"""Pictures of one masklet on its video: a short overlay clip and a filmstrip, both about what a flag names.

Frames are read one at a time, scaled before anything is drawn, and never kept. Legend: H, W height and width in pixels.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from labeling import rle
from labeling.review.overlays import CELL_WIDTH, colour_of, draw_label, draw_mask, filmstrip, write_video
from labeling.types import RLE, Span

Rgb = npt.NDArray[np.uint8]
Masks = Mapping[int, Mapping[int, RLE]]  # object id -> source frame index -> mask

MAX_SECONDS = 10.0
MAX_WIDTH = 640
MAX_FRAME_RATE = 15
STRIP_WIDTH = 1280
STRIP_FRAMES = 6
FLAG_RGB = (213, 94, 0)
RIM_RGB = (16, 16, 16)


@dataclass(frozen=True, slots=True)
class Timeline:
    """The frames that were tracked: their source indices, ascending, and their times."""

    frame_indices: Sequence[int]
    pts_seconds: Sequence[float]

    def __post_init__(self) -> None:
        if not self.frame_indices or len(self.frame_indices) != len(self.pts_seconds):
            raise ValueError(
                f"timeline has {len(self.frame_indices)} frame_indices and {len(self.pts_seconds)} pts_seconds; "
                "expected as many, and one at least"
            )

    def positions(self, span: Span) -> Span:
        """Return where a half-open span of source frames lies, as a half-open span of positions."""
        first, end = np.searchsorted(np.asarray(self.frame_indices), span)
        return int(first), int(end)

    def is_whole(self, span: Span) -> bool:
        """Return whether a half-open span of source frames holds every frame, and so says nothing about where."""
        return self.positions(span) == (0, len(self.frame_indices))


def window(
    timeline: Timeline,
    *,
    focus: Span | None = None,
    max_seconds: float = MAX_SECONDS,
    max_frame_rate: float = MAX_FRAME_RATE,
) -> range:
    """Return the positions to show: at most `max_seconds` round the middle of `focus`, about `max_frame_rate` a second.

    `focus` is a half-open span of source frame indices; without one the clip begins with the track.
    """
    seconds = np.asarray(timeline.pts_seconds, np.float64)
    middle = float(seconds[0])
    if focus is not None:
        first, end = timeline.positions(focus)
        last = len(seconds) - 1
        middle = float(seconds[min(first, last)] + seconds[min(max(first, end - 1), last)]) / 2
    start = max(float(seconds[0]), min(middle - max_seconds / 2, float(seconds[-1]) - max_seconds))
    first, end = np.searchsorted(seconds, (start, start + max_seconds))
    step = max(1, round(_rate(timeline) / max_frame_rate))
    return range(int(first), max(int(end), int(first) + 1), step)


def _rate(timeline: Timeline) -> float:
    steps = np.diff(np.asarray(timeline.pts_seconds, np.float64))
    steps = steps[steps > 0]
    return float(1 / np.median(steps)) if len(steps) else 1.0


def small_frame(rgb_HW3: Rgb, *, max_width: int) -> Rgb:
    """Scale a frame down to at most `max_width` pixels across, sides even as H.264 wants them; never up."""
    height, width = rgb_HW3.shape[:2]
    new_width = min(width, max_width)
    new_height = round(height * new_width / width)
    even_wh = (max(2, new_width - new_width % 2), max(2, new_height - new_height % 2))
    if even_wh == (width, height):
        return rgb_HW3
    return np.asarray(Image.fromarray(rgb_HW3).resize(even_wh, Image.Resampling.BILINEAR, reducing_gap=2.0))


def _small_mask(mask: RLE, size_hw: tuple[int, int]) -> npt.NDArray[np.bool_]:
    mask_HW = rle.decode(mask)
    if mask_HW.shape == size_hw:
        return mask_HW
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.int64) for new, old in zip(size_hw, mask_HW.shape, strict=True)
    )
    return mask_HW[np.ix_(rows, columns)]


def _rim(mask_HW: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The pixels right outside a mask (4 neighbours), so that its outline stands out from a ground of the same colour."""
    grown_HW = mask_HW.copy()
    grown_HW[1:] |= mask_HW[:-1]
    grown_HW[:-1] |= mask_HW[1:]
    grown_HW[:, 1:] |= mask_HW[:, :-1]
    grown_HW[:, :-1] |= mask_HW[:, 1:]
    return grown_HW & ~mask_HW


def draw_overlay(
    rgb_HW3: Rgb, masks: Masks, *, frame_idx: int, pts_seconds: float, flagged: bool = False, max_width: int = MAX_WIDTH
) -> Rgb:
    """Draw every object's mask of one frame on it, scaled down, with frame and time; a flagged frame gets a border."""
    drawn = small_frame(rgb_HW3, max_width=max_width)
    for object_id, frames in masks.items():
        if frame_idx in frames:
            mask_HW = _small_mask(frames[frame_idx], drawn.shape[:2])
            drawn = draw_mask(drawn, mask_HW, colour_rgb=colour_of(object_id))
            drawn[_rim(mask_HW)] = RIM_RGB
    text = f"frame {frame_idx}  {pts_seconds:.2f} s{'  flagged' if flagged else ''}"
    # Below, where the label is moved inside; small enough to leave most of a filmstrip's cell free.
    drawn = draw_label(drawn, text, at_xy=(4, drawn.shape[0] - 4), text_px=max(10, drawn.shape[1] // 45))
    if flagged:
        drawn = drawn.copy()
        for edge in (drawn[:4], drawn[-4:], drawn[:, :4], drawn[:, -4:]):
            edge[:] = FLAG_RGB
    return drawn


def _overlays(
    frames: Sequence[Rgb], timeline: Timeline, masks: Masks, positions: Sequence[int], *, focus: Span | None, max_width: int
) -> Iterator[Rgb]:
    marked = focus if focus is not None and not timeline.is_whole(focus) else (0, 0)
    for position in positions:
        frame_idx = timeline.frame_indices[position]
        flagged = marked[0] <= frame_idx < marked[1]
        yield draw_overlay(
            frames[position], masks, frame_idx=frame_idx, pts_seconds=timeline.pts_seconds[position],
            flagged=flagged, max_width=max_width,
        )


def render_preview(
    frames: Sequence[Rgb],
    timeline: Timeline,
    masks: Masks,
    out: Path,
    *,
    focus: Span | None = None,
    max_seconds: float = MAX_SECONDS,
    max_width: int = MAX_WIDTH,
    max_frame_rate: float = MAX_FRAME_RATE,
) -> Path:
    """Write an H.264 clip of at most `max_seconds` and `max_width` pixels with the masks laid over it, and return `out`.

    `frames[i]` is the upright RGB frame (H, W, 3) at `timeline.frame_indices[i]`; they are read once, in order. `focus` is
    the half-open span of source frames that a flag names: the clip is about it, and its frames are marked unless it is the
    whole track. Every n-th frame is left out so that at most about `max_frame_rate` a second remain.
    """
    positions = window(timeline, focus=focus, max_seconds=max_seconds, max_frame_rate=max_frame_rate)
    rate = Fraction(_rate(timeline) / positions.step).limit_denominator(1001)
    shown = _overlays(frames, timeline, masks, positions, focus=focus, max_width=max_width)
    write_video(out, shown, max(rate, Fraction(1)), crf=27)
    return out


def strip_positions(timeline: Timeline, *, focus: Span | None = None, count: int = STRIP_FRAMES) -> list[int]:
    """Choose up to `count` positions: the track's first and last, and between them the flagged span with what is next to it.

    Without `focus`, or where it is the whole track, they are evenly spaced.
    """
    last, inner = len(timeline.frame_indices) - 1, count - 2
    first, end = timeline.positions(focus) if focus is not None and not timeline.is_whole(focus) else (0, 0)
    if end <= first or inner < 1:
        chosen = np.linspace(0, last, count)
    else:
        chosen = np.concatenate([[0], np.linspace(max(0, first - 1), min(last, end), inner), [last]])
    return sorted({round(position) for position in chosen})


def render_filmstrip(
    frames: Sequence[Rgb],
    timeline: Timeline,
    masks: Masks,
    out: Path,
    *,
    focus: Span | None = None,
    count: int = STRIP_FRAMES,
    width: int = STRIP_WIDTH,
) -> Path:
    """Write up to `count` frames side by side, masks laid over them, as JPEG (or what `out`'s suffix says); returns `out`."""
    positions = strip_positions(timeline, focus=focus, count=count)
    cells = list(_overlays(frames, timeline, masks, positions, focus=focus, max_width=width // count))
    cell_width = max(CELL_WIDTH, cells[0].shape[1])  # a narrower video is shown enlarged
    picture = Image.fromarray(filmstrip(cells, width=len(cells) * cell_width + 2 * (len(cells) - 1), gap_px=2))
    picture.save(out, quality=85)
    return out
