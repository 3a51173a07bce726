"""Figures as pictures and as inline SVG that takes its colours from the page."""

import io
import re

from matplotlib.figure import Figure
from PIL import Image

from labeling.export.theme import LIGHT, PAGE, Palette, dress, figure_png, figure_svg


def drawn(palette: Palette) -> Figure:
    figure = Figure(figsize=(3, 2), layout="constrained")
    axes = figure.subplots()
    dress(axes, palette)
    axes.plot([0, 1, 2], [0, 4, 1], color=palette.first, marker="o")
    axes.fill_between([0, 2], [4, 4], color=palette.review, alpha=0.3)
    axes.set_ylabel("height")
    return figure


def test_svg_asks_the_page_for_every_colour_and_the_font() -> None:
    svg = figure_svg(drawn(PAGE), name="one")
    assert re.match(r'<svg viewBox="0 0 216 144" aria-hidden="true" focusable="false">', svg)
    assert {"first", "review", "muted", "line"} <= set(re.findall(r"var\(--([a-z]+)\)", svg))
    assert re.findall(r"#[0-9a-f]{6}\b", svg) == []
    assert "<style" not in svg
    assert "DejaVu" not in svg
    assert ">height</text>" in svg
    assert svg == figure_svg(drawn(PAGE), name="one")


def test_two_figures_on_one_page_share_no_id_and_point_at_their_own() -> None:
    ids = []
    for name in ("one", "two"):
        svg = figure_svg(drawn(PAGE), name=name)
        own = re.findall(r'\bid="([^"]+)"', svg)
        pointed = re.findall(r'(?:url\(#|href="#)([^")]+)', svg)
        assert pointed
        assert set(pointed) <= set(own)
        ids += own
    assert len(ids) == len(set(ids))


def test_png_has_the_palette_s_surface_and_the_same_bytes_each_time() -> None:
    body = figure_png(drawn(LIGHT), dots_per_inch=50)
    assert body == figure_png(drawn(LIGHT), dots_per_inch=50)
    with Image.open(io.BytesIO(body)) as picture:
        assert picture.size == (150, 100)
        assert picture.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
