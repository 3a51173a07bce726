"""How roots and objects are named: a path, file:///path, or s3://bucket/prefix.

The bucket may be an access point, by its ARN or its alias.
"""

import os
import re
from urllib.parse import unquote

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
    """Split an object's uri into (root, key), as `split_uri` does."""
    bucket, path = _split_after_bucket(uri)
    parts = path.split("/")
    if not parts[-1]:
        raise BadConfiguration(f"{uri!r} names no object; expected s3://bucket/key")
    if "" in parts:
        return f"s3://{bucket}", path
    return "/".join([f"s3://{bucket}", *parts[:-1]]), parts[-1]


def _split_after_bucket(uri: str) -> tuple[str, str]:
    path = uri.removeprefix("s3://")
    if path.startswith("arn:"):
        point = _ACCESS_POINT.match(path)
        if point is None:
            raise BadConfiguration(
                f"{uri!r} is an ARN that cannot be used here; expected s3://arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME/prefix, "
                "or the access point's alias as the bucket: s3://ALIAS/prefix"
            )
        return point[1], path[point.end():]
    bucket, _, key = path.partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise BadConfiguration(f"{uri!r} names no bucket; expected s3://bucket/prefix")
    return bucket, key


def split_uri(uri: str) -> tuple[str, str]:
    """Split one object's uri or path into (root, key): its parent and its name; BadConfiguration where it names none.

    Where a part of a key in S3 is empty, as in s3://bucket/a//b, the key is whole and the root is the bucket.
    """
    if uri.startswith("s3://"):
        return split_s3_uri(uri)
    if "://" in uri and not uri.startswith("file://"):
        raise BadConfiguration(f"{uri!r} cannot be read; expected a path, file:///path or s3://bucket/key")
    path = os.path.abspath(os.path.expanduser(local_path(uri)))
    if not uri or path == "/":
        raise BadConfiguration(f"{uri!r} names no file; expected a path, file:///path or s3://bucket/key")
    return os.path.split(path)


def local_path(text: str) -> str:
    """Return the path that a path or file:///path names; BadConfiguration for a uri of another machine."""
    if not text.startswith("file://"):
        return text
    path = text.removeprefix("file://").removeprefix("localhost")
    if not path.startswith("/"):
        raise BadConfiguration(f"{text!r} names another machine, or a relative path; expected file:///path from the top")
    return unquote(path)
