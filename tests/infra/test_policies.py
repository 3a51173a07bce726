"""The policies of `infra/s3`, enforced by moto's server: each role can do its part and no more."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from botocore.exceptions import ClientError

FOLDER = Path(__file__).resolve().parents[2] / "infra" / "s3"
# Action, bucket and key, for each role: what it may.
DEEDS = {
    "read a video": ("get", "videos", "raw/a.mp4"),
    "read the prompts": ("get", "videos", "prompts.jsonl"),
    "write a video": ("put", "videos", "raw/a.mp4"),
    "list labels": ("list", "labels", ""),
    "read masks": ("get", "labels", "main/masks/bucket=00/a.parquet"),
    "write masks": ("put", "labels", "main/masks/bucket=00/a.parquet"),
    "write a marker": ("put", "labels", "main/ledger/pending/r/a.json"),
    "write a snapshot": ("put", "labels", "main/snapshots/v000001.json"),
    "delete masks": ("delete", "labels", "main/masks/bucket=00/a.parquet"),
    "write beside": ("put", "labels", "other/masks/a.parquet"),
}
MAY = {
    "read-only": {"list labels", "read masks"},
    "worker": {"read a video", "list labels", "read masks", "write masks", "write a marker"},
    "driver": set(DEEDS) - {"write a video", "write beside"},
}


@pytest.fixture(scope="module")
def guarded() -> Iterator[dict[str, Any]]:
    """A client for each role, of a server that enforces their policies."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"

    def client(service: str, key: str, secret: str) -> Any:
        return boto3.session.Session().client(
            service, endpoint_url=url, aws_access_key_id=key, aws_secret_access_key=secret, region_name="us-east-1"
        )

    root, iam, clients = client("s3", "root", "root"), client("iam", "root", "root"), {}
    for bucket in ("videos", "labels"):
        root.create_bucket(Bucket=bucket)
    for _, bucket, key in DEEDS.values():
        if key:
            root.put_object(Bucket=bucket, Key=key, Body=b"x")
    for role in MAY:
        iam.create_user(UserName=role)
        iam.put_user_policy(UserName=role, PolicyName=role, PolicyDocument=(FOLDER / f"{role}.json").read_text())
        made = iam.create_access_key(UserName=role)["AccessKey"]
        clients[role] = client("s3", made["AccessKeyId"], made["SecretAccessKey"])
    requests.post(f"{url}/moto-api/reset-auth", data=b"0", timeout=5)
    yield clients
    requests.post(f"{url}/moto-api/reset-auth", data=b"1000000", timeout=5)
    server.stop()


def allowed(client: Any, action: str, bucket: str, key: str) -> bool:
    try:
        if action == "list":
            client.list_objects_v2(Bucket=bucket)
        elif action == "put":
            client.put_object(Bucket=bucket, Key=key, Body=b"y")
        else:
            getattr(client, f"{action}_object")(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] != "AccessDenied":
            raise
        return False
    return True


@pytest.mark.parametrize("role", MAY)
def test_a_role_may_do_its_part_and_no_more(guarded: dict[str, Any], role: str) -> None:
    assert {deed for deed, what in DEEDS.items() if allowed(guarded[role], *what)} == MAY[role]


@pytest.mark.parametrize("role", MAY)
def test_a_policy_names_actions_and_resources(role: str) -> None:
    policy = json.loads((FOLDER / f"{role}.json").read_text())
    for statement in policy["Statement"]:
        assert statement["Effect"] == "Allow"
        assert "*" not in json.dumps(statement["Action"])
        resources = statement["Resource"]
        assert all(r.startswith(("arn:aws:s3:::videos", "arn:aws:s3:::labels")) for r in
                   ([resources] if isinstance(resources, str) else resources))
