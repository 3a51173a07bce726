"""Objects in S3 and servers that speak its protocol, by boto3; `labeling.objects.open_objects` opens them."""

import contextlib
import itertools
import logging
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from boto3.s3.transfer import S3Transfer
from botocore import exceptions as boto_errors
from botocore.client import BaseClient

from labeling.errors import CREDENTIALS_EXPIRED, BadCredentials, Unavailable
from labeling.files import written_beside
from labeling.objects_contract import ObjectStat, check_key, is_hidden, split_s3_root
from labeling.objects_s3_client import ABSENT, BARE, BROKEN, Reply, client_for, code_of, named_errors, request_payer

log = logging.getLogger(__name__)

_WRITER = "labeling-writer"  # metadata that tells a write of ours from another's when an answer got lost
_PAST_THE_END = {"416", "InvalidRange"}
_LOST = {"412", "PreconditionFailed"}
_CONTENDED = {"409", "ConditionalRequestConflict", "OperationAborted"}
_UNSUPPORTED = {"501", "NotImplemented", "InvalidArgument", "InvalidRequest"}
_CONTENDED_TRIES = 5
_BODY_TRIES = 5
_BODY_PAUSE_S = 0.2


class S3Objects:
    """Objects under s3://bucket/prefix; endpoint, region and credentials come from the usual AWS variables and files.

    All with the same AWS variables share one thread-safe client, found at first use and again after unpickling.
    """

    def __init__(self, root: str, *, unavailable: str = "store_unavailable") -> None:
        self._bucket, prefix = split_s3_root(root)
        self.root = f"s3://{self._bucket}" + (f"/{prefix}" if prefix else "")
        self._base = f"{prefix}/" if prefix else ""
        self._unavailable = unavailable
        self._made: BaseClient | None = None
        self._conditional: bool | None = None
        self._bucket_is_there = False

    def __repr__(self) -> str:
        return f"S3Objects({self.root!r})"

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_made": None, "_conditional": None}

    def uri(self, key: str) -> str:
        return f"{self.root}/{key}"

    def list(self, prefix: str = "") -> Iterator[ObjectStat]:
        with self._named(prefix):
            pages = self._client().get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._base + prefix, **request_payer()
            )
            for page in pages:
                for entry in page.get("Contents", ()):
                    key = entry["Key"][len(self._base):]
                    if key and not key.endswith("/") and not is_hidden(key):
                        yield _stat_of(key, entry["Size"], entry)

    def stat(self, key: str) -> ObjectStat | None:
        try:
            with self._named(key):
                head = self._head(key)
        except FileNotFoundError:
            return None
        return _stat_of(key, head["ContentLength"], head)

    def get(self, key: str) -> bytes:
        with self._named(key):
            return self._whole(self._at(key))[0]

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        span = f"bytes={start}-{max(start, stop - 1)}"
        try:
            with self._named(key, let_through=_PAST_THE_END):
                body, is_part = self._whole({**self._at(key), "Range": span})
        except boto_errors.ClientError:
            return b""
        # A server may answer with all of it.
        return body[: max(0, stop - start)] if is_part else body[start:max(start, stop)]

    def download(self, key: str, path: Path) -> None:
        with self._named(key), written_beside(path) as beside:
            try:
                S3Transfer(self._client()).download_file(
                    self._bucket, self._at(key)["Key"], os.fspath(beside), extra_args=request_payer()
                )
            except boto_errors.ClientError as error:
                if code_of(error) in BARE | ABSENT:
                    self._head(key)
                raise

    def put(self, key: str, body: bytes) -> str:
        with self._named(key):
            return _bare(self._client().put_object(**self._at(key), Body=body)["ETag"])

    def put_file(self, key: str, path: Path) -> str:
        with self._named(key):
            S3Transfer(self._client()).upload_file(
                os.fspath(path), self._bucket, self._at(key)["Key"], extra_args=request_payer()
            )
            return _bare(self._head(key)["ETag"])

    def put_if_absent(self, key: str, body: bytes) -> bool:
        if self._has_conditions():
            return self._put_if(key, body, {"IfNoneMatch": "*"})
        if self.stat(key) is not None:
            return False
        self.put(key, body)
        return True

    def put_if_match(self, key: str, body: bytes, etag: str) -> bool:
        if self._has_conditions():
            return self._put_if(key, body, {"IfMatch": f'"{etag}"'})
        current = self.stat(key)
        if current is None or current.etag != etag:
            return False
        self.put(key, body)
        return True

    def sweep(self) -> int:
        return 0  # an object appears whole, so no writer leaves half of one

    def delete(self, key: str) -> None:
        with self._named(key):
            self._client().delete_object(**self._at(key))

    def _client(self) -> BaseClient:
        if self._made is None:
            variables = tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_")))
            self._made = client_for(variables)
        return self._made

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._base + check_key(key, {".."}), **request_payer()}

    def _head(self, key: str) -> Reply:
        """Ask what an object is; where HEAD is refused without a word, GET is asked for one."""
        client, at = self._client(), self._at(key)
        try:
            head: Reply = client.head_object(**at)
        except boto_errors.ClientError as error:
            if code_of(error) in BARE:
                client.get_object(**at, Range="bytes=0-0")["Body"].close()
            elif code_of(error) in ABSENT and not self._bucket_is_there:
                self._look_for_bucket()
            raise
        self._bucket_is_there = True
        return head

    def _look_for_bucket(self) -> None:
        """Raise BadConfiguration where it is the bucket that is absent; asked once."""
        try:
            self._client().head_bucket(Bucket=self._bucket)
        except boto_errors.ClientError as error:
            if code_of(error) in ABSENT | {"NoSuchBucket"}:
                error.response["Error"]["Code"] = "NoSuchBucket"
                raise
        self._bucket_is_there = True

    def _whole(self, request: dict[str, str]) -> tuple[bytes, bool]:
        """Get an object's or a range's bytes, and whether it was a range; a body that breaks off is asked for again."""
        for attempt in itertools.count(1):
            try:
                answer = self._client().get_object(**request)
                body: bytes = answer["Body"].read()
                length = answer.get("ContentLength", len(body))
                if len(body) != length:
                    raise boto_errors.IncompleteReadError(actual_bytes=len(body), expected_bytes=length)
                return body, answer["ResponseMetadata"]["HTTPStatusCode"] == 206
            except BROKEN:
                if attempt == _BODY_TRIES:
                    raise
                time.sleep(_BODY_PAUSE_S * 2**attempt)
        raise AssertionError("the count never ends")

    def _put_if(self, key: str, body: bytes, condition: dict[str, str]) -> bool:
        writer = uuid.uuid4().hex
        request = {**self._at(key), "Body": body, "Metadata": {_WRITER: writer}, **condition}
        for attempt in range(_CONTENDED_TRIES):
            try:
                with self._named(key, let_through=_LOST | _CONTENDED | ABSENT):
                    self._client().put_object(**request)
                return True
            except boto_errors.ClientError as error:
                if code_of(error) in _CONTENDED:
                    time.sleep(0.05 * 2**attempt)
                    continue
                retried = error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0) > 0
                return retried and self._is_ours(key, writer)
        return False

    def _is_ours(self, key: str, writer: str) -> bool:
        """Return whether our own write arrived though its answer did not, so that the retry met it and was refused."""
        try:
            with self._named(key):
                head = self._head(key)
        except FileNotFoundError:
            return False
        return bool(head.get("Metadata", {}).get(_WRITER) == writer)

    def _has_conditions(self) -> bool:
        """Return whether the server refuses a conditional write that it should; asked once, with an object of its own."""
        if self._conditional is None:
            self._conditional = self._probe_conditions()
            if not self._conditional:
                log.warning(
                    "%s: this server ignores If-None-Match or If-Match on PUT; writers look before they write instead, which "
                    "is safe only while one run at a time writes here", self.root,
                )
        return self._conditional

    def _probe_conditions(self) -> bool:
        key = f".~probe-{uuid.uuid4().hex}.beside"
        at = {"Bucket": self._bucket, "Key": self._base + key, **request_payer()}
        with self._named(key):
            self._client().put_object(**at, Body=b"1")
        self._bucket_is_there = True
        try:
            return all(self._refuses(at, condition) for condition in ({"IfNoneMatch": "*"}, {"IfMatch": '"0"'}))
        finally:
            # Without the right to delete, a hidden object stays.
            with contextlib.suppress(boto_errors.ClientError, boto_errors.BotoCoreError):
                self._client().delete_object(**at)

    def _refuses(self, at: dict[str, str], condition: dict[str, str]) -> bool:
        try:
            with self._named(at["Key"], let_through=_LOST | _CONTENDED | _UNSUPPORTED):
                self._client().put_object(**at, Body=b"2", **condition)
        except boto_errors.ClientError as error:
            return code_of(error) not in _UNSUPPORTED
        return False

    @contextlib.contextmanager
    def _named(self, key: str, let_through: set[str] | frozenset[str] = frozenset()) -> Iterator[None]:
        try:
            with named_errors(self.uri(key) if key else self.root, self._unavailable, let_through):
                yield
        except (Unavailable, BadCredentials) as error:
            # What was renewed in the files is read by the next client.
            if isinstance(error, BadCredentials) or error.reason == CREDENTIALS_EXPIRED:
                self._made = None
                client_for.cache_clear()
            raise


def _stat_of(key: str, num_bytes: int, answer: Reply) -> ObjectStat:
    return ObjectStat(key, num_bytes, _bare(answer["ETag"]), answer["LastModified"].timestamp())


def _bare(etag: str) -> str:
    return etag.strip('"')
