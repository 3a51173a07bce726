"""Places in S3 with names that are easily misread: empty parts, leading slashes, access points."""

import pytest

from labeling.config import SourceConfig
from labeling.errors import BadConfiguration
from labeling.ingest.listing import list_videos
from labeling.objects import open_objects, split_uri

POINT = "arn:aws:s3:eu-west-1:123456789012:accesspoint/videos"


def test_a_key_with_empty_parts_is_read_as_it_is(s3: str) -> None:
    keys = ["/raw/a.mp4", "raw//a.mp4", "raw/a.mp4", "raw/b c+d%20\u00e9.mp4"]
    for key in keys:
        open_objects(s3).put(key, key.encode())
    refs = list(list_videos(SourceConfig(uri=s3)))
    assert [ref.key for ref in refs] == keys
    for ref in refs:
        root, key = split_uri(ref.uri)
        assert open_objects(root).get(key) == ref.key.encode()
    below = list(list_videos(SourceConfig(uri=f"{s3}/raw/")))
    assert [ref.uri for ref in below] == [f"{s3}/{key}" for key in keys[1:]]


@pytest.mark.parametrize("root", ["s3://bucket//raw", "s3://bucket/raw//deep"])
def test_a_root_with_an_empty_part_is_refused_with_what_was_meant(root: str) -> None:
    with pytest.raises(BadConfiguration, match=f"perhaps s3://bucket/{root[12:].replace('//', '/').strip('/')}"):
        open_objects(root)


def test_an_access_point_is_a_bucket() -> None:
    place = open_objects(f"s3://{POINT}/raw/")
    assert place.root == f"s3://{POINT}/raw"
    assert split_uri(place.uri("a/b.mp4")) == (f"s3://{POINT}/raw/a", "b.mp4")
    assert split_uri(f"s3://{POINT}/b.mp4") == (f"s3://{POINT}", "b.mp4")
    assert open_objects("s3://videos-abc-s3alias/raw").uri("k") == "s3://videos-abc-s3alias/raw/k"


@pytest.mark.parametrize(
    "uri", ["s3://arn:aws:s3:eu-west-1:123456789012:bucket/x/raw", "s3://arn:aws:s3-outposts:eu-west-1:123456789012:outpost/op-1/k"]
)
def test_another_arn_is_refused_with_what_can_be_used(uri: str) -> None:
    for call in (open_objects, split_uri):
        with pytest.raises(BadConfiguration, match="accesspoint/NAME/prefix, or the access point's alias"):
            call(uri)


def test_an_access_point_without_a_key_names_no_object() -> None:
    with pytest.raises(BadConfiguration, match="names no object"):
        split_uri(f"s3://{POINT}")
