"""What is chosen for a scene is in view, apart, and of many kinds."""

import numpy as np

from sam2.training.solids.cast import draw_bodies, draw_surroundings, draw_tripod
from sam2.training.solids.lens import draw_lens
from sam2.training.solids.view import camera_at

SIZE = (64, 64)


def test_bodies_start_in_view_above_the_floor_and_mostly_apart() -> None:
    inside = total = touching = 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        tripod = draw_tripod(random, SIZE)
        bodies = [body for body in draw_bodies(random, tripod, SIZE, 4) if body.radius]
        camera = camera_at(tripod, 0)
        places = [body.move(0).place_3 for body in bodies]
        for index, (body, place) in enumerate(zip(bodies, places, strict=True)):
            x, y, z = camera.axes_33 @ (place - camera.eye_3)
            total += 1
            inside += bool(z > 0 and max(abs(x), abs(y)) / z * camera.focal < 32 + body.radius / z * camera.focal)
            assert place[1] > 0.5 * body.radius
            before = zip(places[:index], bodies, strict=False)
            touching += any(np.linalg.norm(place - p) < 0.5 * (body.radius + b.radius) for p, b in before)
    assert inside > 0.95 * total
    assert touching < 0.1 * total


def test_cameras_stand_above_the_floor_and_within_the_walls() -> None:
    for seed in range(100):
        random = np.random.default_rng(seed)
        tripod = draw_tripod(random, SIZE)
        reach = draw_surroundings(random, tripod).reach
        for time in range(0, 60, 5):
            eye = camera_at(tripod, time).eye_3
            assert eye[1] > 0.2
            assert reach is None or np.hypot(eye[0], eye[2]) < reach


def test_there_are_look_alikes_pillars_creatures_and_clutter() -> None:
    casts = []
    for seed in range(40):
        random = np.random.default_rng(seed)
        casts.append(draw_bodies(random, draw_tripod(random, SIZE), SIZE, 4))
    assert sum(len({id(body.skin) for body in cast}) < len(cast) for cast in casts) > 6
    assert sum(any(body.radius == 0 for body in cast) for cast in casts) > 8
    assert sum(any(len(body.parts) > 3 for body in cast) for cast in casts) > 8
    assert sum(any(body.radius and not body.labelled for body in cast) for cast in casts) > 15
    assert all(1 <= sum(body.labelled for body in cast) <= 4 for cast in casts)


def test_lenses_differ_and_some_smear() -> None:
    lenses = [draw_lens(np.random.default_rng(seed)) for seed in range(60)]
    assert 8 < sum(lens.shutter > 0 for lens in lenses) < 35
    assert {lens.softness for lens in lenses} == {1, 3}
