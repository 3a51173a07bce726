"""What the page's tests do with the page: where a pixel of the video is, what is said, and what `rle.js` makes of masks."""

import time
from typing import Any

import numpy as np
import numpy.typing as npt

from labeling import rle
from tests.labeling.review.web.page_store import SIZE_HW

MARGIN_PX = 8
# Slow machines take their time to draw; nothing here measures it.
PATIENCE_MS = 60_000


def start(page: Any, item: str | None = None) -> None:
    """Take the next item by the keyboard, or the first whose entry has that text, and wait for its frame."""
    if item is None:
        page.keyboard.press("Enter")
    else:
        page.locator("#queue button", has_text=item).first.click()
    says(page, "#hud", "frame")


def go_to(page: Any, frame_idx: int) -> None:
    """Step to a frame as a reviewer would."""
    page.keyboard.press("Home")
    for key in ["Shift+F"] * (frame_idx // 10) + ["f"] * (frame_idx % 10):
        page.keyboard.press(key)
    says(page, "#hud", f"frame {frame_idx} ")


def at(page: Any, x: float, y: float) -> tuple[float, float]:
    """Where a pixel of the video is on the screen."""
    box = page.locator("#canvas").bounding_box()
    height, width = SIZE_HW
    scale = min((box["width"] - 2 * MARGIN_PX) / width, (box["height"] - 2 * MARGIN_PX) / height)
    left = box["x"] + (box["width"] - width * scale) / 2
    top = box["y"] + (box["height"] - height * scale) / 2
    return left + x * scale, top + y * scale


_PIXEL = """async ([x, y]) => {
  await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
  const canvas = document.querySelector("#canvas");
  const { left, top } = canvas.getBoundingClientRect();
  const scale = window.devicePixelRatio;
  return Array.from(canvas.getContext("2d").getImageData((x - left) * scale, (y - top) * scale, 1, 1).data);
}"""


def pixel(page: Any, x: float, y: float) -> list[int]:
    """The colour of the frame at a point of the screen, once what was asked for is drawn."""
    found: list[int] = page.evaluate(_PIXEL, [x, y])
    return found


def leaves(page: Any, x: float, y: float, colour: list[int]) -> None:
    """Wait until a point of the screen has another colour than this one."""
    until = time.monotonic() + PATIENCE_MS / 1000
    while pixel(page, x, y) == colour:
        assert time.monotonic() < until, f"the point ({x}, {y}) stayed {colour}"


def says(page: Any, selector: str, text: str) -> None:
    """Wait until a part of the page shows a text."""
    from playwright.sync_api import expect

    expect(page.locator(selector)).to_contain_text(text)


_AMISS = """() => {
  const amiss = [], width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) amiss.push("the page is wider than the window");
  const shown = [...document.querySelectorAll("button, select, input, textarea, a")]
    .filter((one) => one.checkVisibility() && !one.matches(".skip-link"));
  const boxes = shown.map((one) => [one.textContent.trim() || one.title || one.name, one.getBoundingClientRect()]);
  boxes.forEach(([name, a], i) => {
    if (a.left < 0 || a.right > width + 0.5) amiss.push(`${name} lies outside`);
    for (const [other, b] of boxes.slice(i + 1)) {
      const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      if (across > 0.5 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 0.5) amiss.push(`${name} lies on ${other}`);
    }
  });
  for (const one of document.querySelectorAll("button, h2, h3, p, dd, .chip, .edit-text, .position, #who")) {
    const cut = one.scrollWidth > one.clientWidth + 1 || one.scrollHeight > one.clientHeight + 3;
    if (one.checkVisibility() && getComputedStyle(one).display !== "inline" && cut) amiss.push(`${one.textContent} is cut`);
  }
  return amiss;
}"""


def amiss(page: Any) -> list[str]:
    """What is wrong with how the page is laid out: wider than the window, controls outside or over each other, text cut."""
    found: list[str] = page.evaluate(_AMISS)
    return found


_READ = """async (masks) => {
  const rle = await import("/static/rle.js");
  const cross = (p, i) => p[i] * p[(i + 3) % p.length] - p[(i + 2) % p.length] * p[i + 1];
  const turn = (p) => p.reduce((sum, _, i) => (i % 2 ? sum : sum + cross(p, i)), 0);
  return masks.map((mask) => ({
    pixels: Array.from(rle.decode(mask)).join(""),
    counts: rle.fromRuns(rle.runsOf(mask), mask.size).counts,
    area: rle.area(mask),
    traced: rle.outlines(mask).reduce((sum, corners) => sum + turn(corners) / 2, 0),
    box: rle.boxOf(mask),
    empty: rle.emptyMask(...mask.size).counts,
  }));
}"""
_BREAK = """async (mask) => {
  const rle = await import("/static/rle.js");
  try { rle.runsOf(mask); return "read"; } catch (error) { return error.message; }
}"""


def random_masks() -> list[npt.NDArray[np.bool_]]:
    """Masks of every kind: noise, blobs, whole, empty, single pixels at the borders, larger than a few runs."""
    random = np.random.default_rng(7)
    masks = [random.random((int(h), int(w))) < share for h, w, share in zip(
        random.integers(1, 40, 24), random.integers(1, 40, 24), random.uniform(0.02, 0.98, 24), strict=True)]
    blobs = [np.kron(random.random((6, 8)) < 0.5, np.ones((23, 41), bool)) for _ in range(4)]
    edges = [np.zeros((5, 7), bool) for _ in range(4)]
    for mask_HW, (y, x) in zip(edges, ((0, 0), (4, 6), (0, 6), (4, 0)), strict=True):
        mask_HW[y, x] = True
    return [*masks, *blobs, *edges, np.ones((9, 4), bool), np.zeros((4, 9), bool)]


def check_masks(page: Any) -> None:
    """Compare what the page's `rle.js` makes of masks with `labeling.rle`; outlines must enclose the very area."""
    masks = random_masks()
    sent = [rle.encode(mask_HW) for mask_HW in masks]
    found = page.evaluate(_READ, [{"size": list(one.size_hw), "counts": one.counts} for one in sent])
    for mask_HW, one, read in zip(masks, sent, found, strict=True):
        assert read["pixels"] == "".join("1" if on else "0" for on in mask_HW.reshape(-1))
        assert read["counts"] == one.counts
        assert read["area"] == read["traced"] == mask_HW.sum()
        assert read["empty"] == rle.empty(one.size_hw).counts
        box = rle.box_xywh(one)
        assert read["box"] == (None if box is None else [box[0], box[1], box[0] + box[2], box[1] + box[3]])
    assert "add up to" in page.evaluate(_BREAK, {"size": [4, 4], "counts": sent[0].counts + "0"})
    assert "expected" in page.evaluate(_BREAK, {"size": [4, 4], "counts": "!"})
