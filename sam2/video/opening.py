"""`open_frames` under the module name that programs written for earlier releases import it by; it stands in `frames`."""

from sam2.video.frames import open_frames

__all__ = ["open_frames"]
