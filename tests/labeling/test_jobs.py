"""A job says what it is called and refuses what does not belong together; it travels to an actor."""

import pickle

import pytest

from labeling.jobs import Job
from labeling.types import Prompt, VideoRef

REF = VideoRef(video_id="0123456789abcdef", key="a.mp4", uri="/v/a.mp4", content_id="e", num_bytes=3)
BOX = Prompt(object_id=1, frame_idx=0, box_xyxy=(0, 0, 2, 2))


def test_jobs_travel() -> None:
    job = Job("r", REF, (BOX,), {1: "k"}, {1: 2}, "b")
    assert pickle.loads(pickle.dumps(job)) == job
    assert job.name == "0123456789abcdef-b"


def test_every_prompted_object_needs_a_key() -> None:
    with pytest.raises(ValueError, match=r"keys is \[2\]; expected"):
        Job("r", REF, (BOX,), {2: "k"}, {1: 1}, "b")
