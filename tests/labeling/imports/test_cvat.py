"""CVAT's XML of videos and of images: boxes, polygons and masks, with the shapes that cannot be kept counted."""

import zipfile
from pathlib import Path

import pytest

from labeling import rle
from labeling.errors import BadInput
from labeling.imports.cvat import read_cvat_labels

META = "<meta><task><name>job</name><original_size><width>60</width><height>40</height></original_size></task>{}</meta>"
BOX = '<box frame="{}" outside="{}" xtl="5" ytl="10" xbr="30" ybr="20"><attribute name="colour">red</attribute></box>'


def written(path: Path, *parts: str, source: str = "<source>a.mp4</source>") -> Path:
    path.write_text(f"<annotations>{META.format(source)}{''.join(parts)}</annotations>")
    return path


def test_boxes_polygons_and_masks_of_tracks(tmp_path: Path) -> None:
    boxes = f'<track id="3" label="car">{BOX.format(2, 0)}{BOX.format(3, 1)}</track>'
    polygon = '<track id="4" label="dog"><polygon frame="7" outside="0" points="5,10;30,10;30,20;5,20"/></track>'
    mask = '<track id="5" label="dog"><mask frame="8" outside="0" rle="0, 4" left="1" top="1" width="2" height="2"/></track>'
    points = '<track id="6" label="dog"><points frame="8" outside="0" points="1,1"/></track>'
    read = read_cvat_labels(written(tmp_path / "x.xml", boxes, polygon, mask, points))
    box, filled, drawn = read.labels
    assert (box.video, box.frame_idx, box.track, box.category, box.box_xyxy) == ("a.mp4", 2, "3", "car", (5, 10, 30, 20))
    assert (filled.frame_idx, filled.category, drawn.frame_idx) == (7, "dog", 8)
    assert filled.mask is not None
    assert rle.box_xywh(filled.mask) == pytest.approx((5, 10, 25, 10), abs=1)
    assert drawn.mask is not None
    assert rle.area(drawn.mask) == 4
    assert read.lost == {"attributes": 1, "shapes of kind points": 1}


def test_images_in_a_zip_without_a_source(tmp_path: Path) -> None:
    box = '<box label="car" xtl="1" ytl="2" xbr="3" ybr="4"/>'
    image = f'<image id="0" name="clip/00004.jpg" width="60" height="40">{box}</image>'
    xml = written(tmp_path / "annotations.xml", image, source="")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        packed.write(xml, "annotations.xml")
    (label,) = read_cvat_labels(tmp_path / "x.zip").labels
    assert (label.video, label.frame_idx, label.track, label.category) == ("clip", 4, None, "car")


@pytest.mark.parametrize(
    ("track", "message"),
    [
        ('<track id="3"><box frame="x" xtl="1" ytl="1" xbr="2" ybr="2"/></track>', "track 3, frame x: frame is 'x'"),
        ('<track id="3"><box frame="1" xtl="9" ytl="1" xbr="2" ybr="2"/></track>', "track 3, frame 1: the box is"),
        ('<track id="3"><polygon frame="1" points="1,2;x"/></track>', "track 3, frame 1: points is"),
        ('<track id="3"><mask frame="1" rle="9" left="0" top="0" width="2" height="2"/></track>', "track 3, frame 1: rle is"),
        ("<track", "it is no XML"),
    ],
)
def test_what_is_wrong_is_named_with_its_track(tmp_path: Path, track: str, message: str) -> None:
    with pytest.raises(BadInput, match=f"x.xml: {message}"):
        read_cvat_labels(written(tmp_path / "x.xml", track))
