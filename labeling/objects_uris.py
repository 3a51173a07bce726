"""How places in S3 are written: s3://bucket/prefix, where the bucket may be an access point, by its ARN or its alias."""

import re

from labeling.errors import BadConfiguration

_ACCESS_POINT = re.compile(r"(arn:[\w-]+:s3:[\w-]+:\d{12}:accesspoint[/:][a-z0-9-]+)(?:/|$)")


def split_s3_root(root: str) -> tuple[str, str]:
    """Split a root into its bucket and its prefix, without slashes around it; raises BadConfiguration where it is no root."""
    bucket, prefix = _split_after_bucket(root)
    prefix = prefix.rstrip("/")
    parts = prefix.split("/") if prefix else []
    if ".." in parts:
        raise BadConfiguration(f"{root!r} holds '..'; expected s3://bucket/prefix")
    if "" in parts:
        plain = "/".join(["s3:/", bucket, *filter(None, parts)])
        raise BadConfiguration(
            f"{root!r} has an empty part between slashes; expected s3://bucket/prefix, perhaps {plain}. "
            f"Where keys are named so, give s3://{bucket} and choose them by source.glob or a manifest"
        )
    return bucket, prefix


def split_s3_uri(uri: str) -> tuple[str, str]:
    """Split an object's uri into (root, key), as `labeling.objects.split_uri` does."""
    bucket, path = _split_after_bucket(uri)
    parts = path.split("/")
    if not parts[-1]:
        raise BadConfiguration(f"{uri!r} names no object; expected s3://bucket/key")
    if "" in parts:
        return f"s3://{bucket}", path
    return "/".join([f"s3://{bucket}", *parts[:-1]]), parts[-1]


def _split_after_bucket(uri: str) -> tuple[str, str]:
    place = uri.removeprefix("s3://")
    if place.startswith("arn:"):
        point = _ACCESS_POINT.match(place)
        if point is None:
            raise BadConfiguration(
                f"{uri!r} is an ARN that cannot be used here; expected s3://arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME/prefix, "
                "or the access point's alias as the bucket: s3://ALIAS/prefix"
            )
        return point[1], place[point.end():]
    bucket, _, path = place.partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise BadConfiguration(f"{uri!r} names no bucket; expected s3://bucket/prefix")
    return bucket, path
