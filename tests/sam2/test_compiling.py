"""Compiled, the network answers as before, and a further object or memory compiles nothing anew."""

import subprocess
import sys

import pytest
import torch

from sam2.build_sam import build_sam2_video_predictor
from sam2.compiling import compile_network
from sam2.sam2_video_predictor import SAM2VideoPredictor
from sam2.tracking.output import FrameOutput
from tests.sam2.clips import NANO, assert_equal_outputs, drawn_clip, predictor


def boxed(model: SAM2VideoPredictor, num_frames: int, objects: int) -> list[FrameOutput]:
    state = model.init_state(drawn_clip(num_frames))
    for obj_id in range(objects):
        model.add_new_points_or_box(state, 0, obj_id, box=[8 + 4 * obj_id, 8, 40 + 4 * obj_id, 40])
    return list(model.propagate(state))


def test_parts_are_compiled_for_one_and_for_any_number() -> None:
    plain, compiled = predictor(NANO), predictor(NANO)
    torch._dynamo.reset()
    compile_network(compiled, backend="eager")
    assert_equal_outputs(boxed(compiled, 3, 3), boxed(plain, 3, 3), 2e-3)
    for objects in (1, 2):
        boxed(compiled, 3, objects)
    with torch._dynamo.config.patch(error_on_recompile=True):
        assert len(boxed(compiled, 10, 5)) == 10


def test_what_a_machine_lacks_shows_before_the_first_frame() -> None:
    with pytest.raises(RuntimeError, match=r"does not work here on cpu; it needs a C\+\+ compiler"):
        compile_network(predictor(NANO), backend="no_such_backend")


def test_the_released_name_of_the_choice_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[object] = []
    monkeypatch.setattr("sam2.build_sam.compile_network", compiled.append)
    models = [build_sam2_video_predictor("sam2.1_nano", device="cpu", vos_optimized=asked) for asked in (False, True)]
    assert compiled == models[1:]


def test_torchs_compiler_is_loaded_by_those_who_ask_for_it() -> None:
    # It takes seconds, and every actor, command and notebook would pay them.
    program = "import sys, sam2.build_sam, sam2.sam2_image_predictor; sys.exit('torch._dynamo' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
