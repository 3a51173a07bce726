"""Runs in the environment that has `ultralytics`, as a process of its own: frames come in, boxes go out.

Imports nothing of this project: its licence is not that of `ultralytics`. A request is a line of JSON, {"size": [h, w]}, and
the frame's RGB bytes; the answer a line of JSON, a list of [x0, y0, x1, y1, score, name].
"""

import json
import os
import sys

import numpy as np


def main() -> None:
    """Answer requests until there is none."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)       # what the package prints is no answer
    from ultralytics import YOLO

    network = YOLO(sys.argv[1])
    answers.write(json.dumps({"names": list(network.names.values())}) + "\n")
    while line := sys.stdin.buffer.readline():
        height, width = json.loads(line)["size"]
        rgb_HW3 = np.frombuffer(sys.stdin.buffer.read(height * width * 3), np.uint8).reshape(height, width, 3)
        # the package takes BGR, as OpenCV reads it
        (result,) = network.predict(np.ascontiguousarray(rgb_HW3[..., ::-1]), verbose=False, conf=float(sys.argv[2]))
        boxes = result.boxes
        rows = zip(boxes.xyxy.tolist(), boxes.conf.tolist(), boxes.cls.tolist(), strict=True)
        answers.write(json.dumps([[*box, score, network.names[int(number)]] for box, score, number in rows]) + "\n")


if __name__ == "__main__":
    main()
