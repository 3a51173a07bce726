"""`labeling review apply` before anything runs: whose settings it takes."""

import pytest

from flows.cli.review_apply import config_for
from flows.configure import kept_config
from labeling.config import QCConfig
from labeling.errors import BadConfiguration
from labeling.objects import open_objects
from labeling.store.publish import publish
from labeling.store.runs import write_config
from tests.flows.conftest import Dataset


def test_settings_come_from_the_newest_run_or_in_full(dataset: Dataset) -> None:
    dataset.root.mkdir()
    with pytest.raises(BadConfiguration, match="has no run to take settings from"):
        config_for([f"store.root={dataset.root}"])
    with pytest.raises(BadConfiguration, match=r"source\.uri is not set.*prompts\.uri is not set"):
        config_for([f"store.root={dataset.root}", "model=tiny"])
    assert config_for(dataset.overrides("qc=strict")).qc.name == "strict"


def test_the_newest_run_is_judged_as_the_newest_snapshot_was(dataset: Dataset) -> None:
    objects = open_objects(str(dataset.root))
    write_config(objects, "20260101-000000-aaaa", kept_config(dataset.config("qc=strict", "source.frame_stride=3")))
    write_config(objects, "20260102-000000-aaaa", kept_config(dataset.config("qc=strict", "source.frame_stride=2")))
    publish(objects, QCConfig("off", []), run_id="20260103-000000-aaaa")
    config = config_for([f"store.root={dataset.root}"])
    assert (config.source.frame_stride, config.qc.name, config.qc.rules) == (2, "off", [])
    assert (config.source.uri, config.run.id) == (str(dataset.clips), None)
