"""Colours of plots, and figures as PNG or as SVG that follows the page's light or dark scheme.

Hues are those of Okabe and Ito's palette, told apart under the common forms of colour blindness. A figure meant for a
page is drawn in placeholder colours, which `figure_svg` replaces with the page's CSS variables.
"""

import io
import re
from dataclasses import dataclass

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

FONT = "DejaVu Sans"


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours that a plot is drawn with, as `#rrggbb`."""

    ink: str
    muted: str
    line: str
    surface: str
    first: str
    second: str
    third: str
    review: str
    reject: str
    absent: str


LIGHT = Palette(
    ink="#1b2733", muted="#5a6875", line="#dfe4ea", surface="#ffffff",
    first="#0072b2", second="#009e73", third="#7a4fa3", review="#b87400", reject="#c24a00", absent="#8c99a6",
)
PAGE = Palette(
    ink="#010101", muted="#010102", line="#010103", surface="#010104",
    first="#010105", second="#010106", third="#010107", review="#010108", reject="#010109", absent="#01010a",
)


def dress(axes: Axes, palette: Palette) -> None:
    """Give axes the house look: a grid in the background, two quiet spines, small labels."""
    axes.set_facecolor("none")
    axes.grid(True, color=palette.line, linewidth=0.8)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(palette.line)
    axes.tick_params(colors=palette.muted, labelsize=8, length=0)
    axes.yaxis.label.set(color=palette.muted, fontsize=8)
    axes.xaxis.label.set(color=palette.muted, fontsize=8)


def figure_png(figure: Figure, *, palette: Palette = LIGHT, dots_per_inch: int = 110) -> bytes:
    """Render a figure as PNG bytes on the palette's surface; the same figure gives the same bytes."""
    FigureCanvasAgg(figure)
    body = io.BytesIO()
    with rc_context({"font.family": FONT}):
        figure.savefig(body, format="png", dpi=dots_per_inch, facecolor=palette.surface, metadata={"Software": None})
    return body.getvalue()


def figure_svg(figure: Figure, *, name: str) -> str:
    """Render a figure drawn with `PAGE` as an inline `<svg>` that takes its colours and font from the page.

    `name` goes in front of every id, so that several figures can stand in one document.
    """
    FigureCanvasSVG(figure)
    body = io.StringIO()
    with rc_context({"font.family": FONT, "svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(body, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = body.getvalue()
    text = text[text.index("<svg"):]
    for slot in Palette.__slots__:
        text = text.replace(getattr(PAGE, slot), f"var(--{slot})")
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    text = re.sub(r'xlink:href="#', f'href="#{name}-', text)
    # Older matplotlib writes the family into `font`.
    text = re.sub(r"(font-family: |font: [^;\"]*?px )[^;\"]*", r"\1var(--sans)", text)
    # Its own style sheet would reach the whole page, and most of its bytes are indentation.
    text = re.sub(r"<(metadata|style)\b.*?</\1>", "", text, flags=re.DOTALL)
    text = re.sub(r"\s*\n\s*", " ", text)
    return re.sub(r'^<svg [^>]*?viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" aria-hidden="true" focusable="false">', text)
