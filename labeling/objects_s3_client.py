"""The process's client for S3 and servers that speak its protocol, and what their refusals and boto3's errors mean."""

import contextlib
import functools
import os
from collections.abc import Iterator, Mapping, Set
from datetime import UTC, datetime
from typing import Any

import botocore.client
import botocore.loaders
import botocore.session
import botocore.utils
from boto3.exceptions import Boto3Error
from botocore import exceptions as boto_errors
from botocore.config import Config
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from labeling.errors import CREDENTIALS_EXPIRED, BadConfiguration, BadCredentials, Unavailable
from labeling.objects_contract import missing

Reply = Mapping[str, Any]  # what a server says, as boto3 has it

ABSENT = {"404", "NoSuchKey", "NotFound"}
# An answer to HEAD has no body, so its code is the bare status: GET says which of several refusals it is.
BARE = {"301", "400", "403", "405"}
# An answer whose body broke off, or is not what was sent: the same question brings it whole.
BROKEN = (
    boto_errors.IncompleteReadError, boto_errors.ResponseStreamingError, boto_errors.ReadTimeoutError,
    boto_errors.FlexibleChecksumError, HTTPError,
)
_DENIED = (
    "access is denied; give these credentials the right to list, read and write there (without the right to list, what is "
    "absent is denied too); where the reader pays, set AWS_REQUEST_PAYER=requester"
)
_ELSEWHERE = "the bucket is in another region; set AWS_REGION to it"
_ADVICE = {
    "NoSuchBucket": "the bucket does not exist; create it or correct the uri",
    "InvalidBucketName": "this is no bucket name; correct the uri",
    "InvalidAccessPoint": "this is no access point; correct the uri",
    "AccessDenied": _DENIED,
    "403": _DENIED,
    "AllAccessDisabled": "the bucket's owner has closed it",
    "InvalidAccessKeyId": "the server does not know this access key; correct AWS_ACCESS_KEY_ID or AWS_PROFILE",
    "SignatureDoesNotMatch": "the secret key is wrong; correct AWS_SECRET_ACCESS_KEY or AWS_PROFILE",
    "InvalidToken": "the session's token is not one of this server's; correct AWS_SESSION_TOKEN or leave it out",
    "AccountProblem": "the server has closed this account; see to it, or give the credentials of another",
    "RequestTimeTooSkewed": "this machine's clock is wrong; set it (by NTP) and run again",
    "InvalidObjectState": "the object is archived; restore it to a class that can be read at once",
    "PermanentRedirect": _ELSEWHERE,
    "301": _ELSEWHERE,
    "AuthorizationHeaderMalformed": _ELSEWHERE,
    "IllegalLocationConstraintException": _ELSEWHERE,
}
# What is refused of the credentials themselves, and not of what they ask for; a signature may fail for one odd key alone.
_OF_THE_KEY = {"InvalidAccessKeyId", "InvalidToken", "RequestTimeTooSkewed", "AccountProblem"}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"}
_SLOW = {"SlowDown", "503", "ServiceUnavailable", "Throttling", "ThrottlingException", "RequestLimitExceeded", "429"}
_UNREACHED = (boto_errors.HTTPClientError, boto_errors.ConnectionError, *BROKEN)
_NO_CREDENTIALS = (
    boto_errors.NoCredentialsError, boto_errors.PartialCredentialsError, boto_errors.CredentialRetrievalError,
    boto_errors.ProfileNotFound,
)
_RUN_OUT = (boto_errors.TokenRetrievalError, boto_errors.UnauthorizedSSOTokenError, boto_errors.SSOTokenLoadError)


@functools.cache
def _service_descriptions() -> botocore.loaders.Loader:
    """What botocore ships about S3, parsed once a process: it is constant, and most of the time that a client takes."""
    return botocore.loaders.create_loader()


def _moment(value: Any) -> datetime:
    """Read a timestamp of an answer; botocore's own way takes two thirds of a long listing's time for this one field."""
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        moment = botocore.utils.parse_timestamp(value)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _client_config() -> Config:
    """Timeouts and retries for servers near and far; checksums only where asked when a custom endpoint is set.

    Servers that speak S3's protocol without being it fail on the checksums that newer boto3 adds by itself.
    """
    custom = any(os.environ.get(name) for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"))
    checksums = {"request_checksum_calculation": "when_required", "response_checksum_validation": "when_required"}
    return Config(
        max_pool_connections=32,
        connect_timeout=10,
        read_timeout=60,
        tcp_keepalive=True,
        retries={"mode": "adaptive", "max_attempts": 5},
        **(checksums if custom else {}),
    )


@functools.lru_cache(maxsize=4)
def client_for(environment: tuple[tuple[str, str], ...]) -> botocore.client.BaseClient:
    """The process's client for what the environment says: a new one costs as much time as tracking some frames."""
    # A session of its own: boto3's default one is shared by the whole program and not safe among threads.
    session = botocore.session.Session()
    session.register_component("data_loader", _service_descriptions())
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_moment)
    return session.create_client("s3", config=_client_config())


def request_payer() -> dict[str, str]:
    """Return the arguments by which a request's sender pays for it: AWS_REQUEST_PAYER, as other tools read it."""
    payer = os.environ.get("AWS_REQUEST_PAYER", "")
    if payer not in ("", "requester"):
        raise BadConfiguration(f"AWS_REQUEST_PAYER is {payer!r}; expected requester, or leave it out")
    return {"RequestPayer": payer} if payer else {}


def code_of(error: boto_errors.ClientError) -> str:
    """The server's word for its refusal, or the bare status."""
    return str(error.response.get("Error", {}).get("Code", ""))


@contextlib.contextmanager
def named_errors(uri: str, unavailable: str, let_through: Set[str] = frozenset()) -> Iterator[None]:
    """Turn boto3's errors into ours, with the uri and what to do; ClientErrors with codes in `let_through` pass.

    `unavailable` is the reason of an Unavailable; where credentials have run out it is `credentials_expired`.
    """
    try:
        yield
    except boto_errors.ClientError as error:
        if code_of(error) in let_through:
            raise
        raise _of_answer(error, uri, unavailable) from error
    except _RUN_OUT as error:
        raise _run_out(uri, str(error)) from error
    except _NO_CREDENTIALS as error:
        advice = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        raise BadCredentials(f"{uri}: no usable AWS credentials ({error}); {advice}") from error
    except _UNREACHED as error:
        advice = "check the network and AWS_ENDPOINT_URL; it is tried again"
        raise Unavailable(f"{uri}: the server did not answer ({error}); {advice}", unavailable) from error
    except ResponseParserError as error:
        advice = "check that AWS_ENDPOINT_URL is S3's, and no proxy answers in its place"
        raise Unavailable(f"{uri}: the answer is not S3's ({_brief(error)}); {advice}", unavailable) from error
    except (boto_errors.BotoCoreError, Boto3Error) as error:
        raise _of_library(error, uri, unavailable) from error
    except RuntimeError as error:  # botocore's word for credentials that it renewed and that were old still
        if "credentials" not in str(error):
            raise
        raise _run_out(uri, str(error)) from error
    except ValueError as error:  # botocore's word for an endpoint url that is none
        if not str(error).startswith("Invalid endpoint"):
            raise
        raise BadConfiguration(f"{uri}: {error}; set AWS_ENDPOINT_URL to http(s)://host:port or leave it out") from error


def _of_answer(error: boto_errors.ClientError, uri: str, unavailable: str) -> Exception:
    code, meta = code_of(error), error.response.get("ResponseMetadata", {})
    status = meta.get("HTTPStatusCode", 0)
    if code in ABSENT:
        return missing(uri)
    if code in _EXPIRED:
        return _run_out(uri, code)
    if code in _ADVICE:
        kind = BadCredentials if code in _OF_THE_KEY else BadConfiguration
        return kind(f"{uri}: {_ADVICE[code]} ({code}{_region_of(meta)})")
    if code in _SLOW or status in (429, 503):
        advice = "it is tried again; if it stays so, let fewer workers ask (cluster.actors)"
        return Unavailable(f"{uri}: the server asks to be asked less often ({code}); {advice}", unavailable)
    if 400 <= status < 500 and status not in (408, 409):
        return BadConfiguration(f"{uri}: the server refused with {status} {code}: {_brief(error)}")
    advice = "it is tried again; if it stays so, check AWS_ENDPOINT_URL and the server"
    return Unavailable(f"{uri}: the server failed with {status} {code}; {advice}", unavailable)


def _of_library(error: Exception, uri: str, unavailable: str) -> Exception:
    cause = error.__cause__ or error.__context__
    if isinstance(cause, boto_errors.ClientError):
        return _of_answer(cause, uri, unavailable)
    if isinstance(error, (boto_errors.ParamValidationError, boto_errors.InvalidRegionError, boto_errors.EndpointProviderError)):
        return BadConfiguration(f"{uri}: {_brief(error)}")
    return Unavailable(f"{uri}: {_brief(error)}", unavailable)


def _run_out(uri: str, why: str) -> Unavailable:
    advice = "renew them (AWS_SESSION_TOKEN, the profile or the role) and run again"
    return Unavailable(f"{uri}: the credentials' token has run out ({why}); {advice}", CREDENTIALS_EXPIRED)


def _region_of(meta: Reply) -> str:
    region = meta.get("HTTPHeaders", {}).get("x-amz-bucket-region", "")
    return f", the bucket is in {region}" if region else ""


def _brief(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else f"{text[:300]}..."
