"""A detector of `ultralytics`, a process in an environment of the user's: its licence (AGPL) keeps it out of this package."""

import json
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from labeling.errors import BadConfiguration, Unavailable
from labeling.track.association import Detection

Image8 = npt.NDArray[np.uint8]
SCRIPT = Path(__file__).parent / "ultralytics_script.py"


class UltralyticsDetector:
    """Sends frames to the process and reads boxes; with queries only boxes of those names stay."""

    def __init__(self, python: Path, checkpoint: Path, threshold: float) -> None:
        self.stderr = tempfile.TemporaryFile()  # noqa: SIM115  closed with the process
        try:
            self.process = subprocess.Popen(
                [python, SCRIPT, checkpoint, str(threshold)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.stderr,
            )
        except OSError as error:
            self.stderr.close()
            raise BadConfiguration(
                f"prompts.detector.python is {str(python)!r} ({error}); expected the Python of an environment with ultralytics"
            ) from error
        self.names = self._answer()["names"]

    def detect(self, frames: Sequence[Image8], queries: Sequence[str]) -> list[list[Detection]]:
        found = [self._detect(frame) for frame in frames]
        return [[d for d in seen if not queries or d.label in queries] for seen in found]

    def close(self) -> None:
        """End the process."""
        if self.process.stdin:
            with suppress(OSError):
                self.process.stdin.close()
        self.process.wait(timeout=60)
        if self.process.stdout:
            self.process.stdout.close()
        self.stderr.close()

    def _detect(self, frame_HW3: Image8) -> list[Detection]:
        assert self.process.stdin, "a pipe was asked for"
        try:
            self.process.stdin.write(json.dumps({"size": frame_HW3.shape[:2]}).encode() + b"\n" + frame_HW3.tobytes())
            self.process.stdin.flush()
        except OSError:
            self._fail()
        return [Detection((x0, y0, x1, y1), score, name) for x0, y0, x1, y1, score, name in self._answer()]

    def _answer(self) -> Any:
        assert self.process.stdout, "a pipe was asked for"
        line = self.process.stdout.readline()
        if not line:
            self._fail()
        return json.loads(line)

    def _fail(self) -> None:
        code = self.process.wait(timeout=60)
        self.stderr.seek(0)
        lines = self.stderr.read()[-4000:].decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")[-400:]
        self.close()
        raise Unavailable(f"the process of ultralytics ended with {code}: {last}", "detector_failed")
