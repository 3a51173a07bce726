"""What the video references were asked: steps on `tests.sam2.clips.drawn_clip`, by name of the reference.

The `video_*.npz` files beside this one hold the answers of the released code (facebookresearch/sam2 at 2b90b9f, and
yangchris11/samurai at 76ba195 for the names with `samurai`; float32, one CPU thread, holes not filled), with the
weights of `tests.sam2.clips.predictor`.
"""

from typing import Any

Step = dict[str, Any]

BOX = [4, 8, 24, 32]
MASK = [20, 30, 40, 60]     # y0, x0, y1, x1

STEPS: dict[str, list[Step]] = {
    "video_three_objects": [
        {"do": "prompt", "frame": 0, "obj": 1, "box": BOX},
        {"do": "prompt", "frame": 0, "obj": 2, "points": [[40, 20]], "labels": [1]},
        {"do": "prompt", "frame": 0, "obj": 2, "points": [[10, 40]], "labels": [0], "keep": True},
        {"do": "prompt", "frame": 4, "obj": 9, "mask": MASK},
        {"do": "propagate", "max_frame_num_to_track": 9},
    ],
    "video_corrections": [
        {"do": "prompt", "frame": 2, "obj": 5, "box": BOX},
        {"do": "propagate", "max_frame_num_to_track": 5},
        {"do": "prompt", "frame": 5, "obj": 5, "points": [[30, 30], [5, 5]], "labels": [1, 0]},
        {"do": "propagate", "start_frame_idx": 5, "max_frame_num_to_track": 3},
        {"do": "propagate", "start_frame_idx": 5, "reverse": True},
        {"do": "prompt", "frame": 1, "obj": 6, "points": [[50, 10]], "labels": [1]},
        {"do": "clear", "frame": 5, "obj": 5},
        {"do": "propagate", "start_frame_idx": 1, "max_frame_num_to_track": 4},
        {"do": "remove", "obj": 5},
        {"do": "propagate", "start_frame_idx": 6},
    ],
    "video_samurai_box": [{"do": "prompt", "frame": 0, "obj": 1, "box": BOX}, {"do": "propagate"}],
    "video_samurai_click": [
        {"do": "prompt", "frame": 1, "obj": 1, "points": [[40, 20]], "labels": [1]},
        {"do": "propagate", "max_frame_num_to_track": 8},
        {"do": "propagate", "start_frame_idx": 10},
    ],
}
NUM_FRAMES = {"video_three_objects": 10, "video_corrections": 10, "video_samurai_box": 24, "video_samurai_click": 20}
