"""A bucket on a real HTTP server: moto's by default, any other by LABELING_TEST_S3_ENDPOINT, _KEY and _SECRET."""

import os
import uuid
from collections.abc import Iterator
from typing import Any

import boto3
import pytest


@pytest.fixture(scope="session")
def s3_server() -> Iterator[dict[str, str]]:
    """Environment variables of a server that speaks S3's protocol."""
    endpoint = os.environ.get("LABELING_TEST_S3_ENDPOINT")
    if endpoint:
        key, secret = os.environ["LABELING_TEST_S3_KEY"], os.environ["LABELING_TEST_S3_SECRET"]
        yield _variables(endpoint, key, secret)
        return
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield _variables(f"http://{host}:{port}", "testing", "testing")
    server.stop()


@pytest.fixture(scope="session")
def s3_client(s3_server: dict[str, str]) -> Any:
    """A plain client of that server, to look behind the code under test."""
    return boto3.session.Session().client(
        "s3",
        endpoint_url=s3_server["AWS_ENDPOINT_URL"],
        aws_access_key_id=s3_server["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=s3_server["AWS_SECRET_ACCESS_KEY"],
        region_name=s3_server["AWS_DEFAULT_REGION"],
    )


@pytest.fixture
def s3(s3_server: dict[str, str], s3_client: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A fresh bucket's uri, with the environment set to reach it; emptied and removed afterwards."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    for name, value in s3_server.items():
        monkeypatch.setenv(name, value)
    bucket = f"labeling-{uuid.uuid4().hex[:12]}"
    s3_client.create_bucket(Bucket=bucket)
    yield f"s3://{bucket}"
    _remove(s3_client, bucket)


def _variables(endpoint: str, key: str, secret: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _remove(client: Any, bucket: str) -> None:
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        if page.get("Contents"):
            client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": found["Key"]} for found in page["Contents"]]})
    client.delete_bucket(Bucket=bucket)
