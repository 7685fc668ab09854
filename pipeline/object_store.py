"""How S3-compatible stores are asked: how long an answer is waited for, and how often a request that came to nothing is repeated.

s3fs by itself gives up on HTTP 500 after four seconds, and on a connection that breaks after two. A store that has a bad minute
(throttling after a burst, a node that goes) would cost a part, or a whole job.
"""

import os
from functools import cache
from typing import Any

# s3fs waits 0.1 s · 1.7^n between tries, 15 s at most: 12 tries span 44 s, and every one of them waits up to a second more, at
# random, for its own second try (botocore), so that a thousand workers do not all ask at once.
TRIES = 12
CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 10, 20
_PASSING_STATUS = (408, 429)  # and all of 500 and more but 501
_NOT_IMPLEMENTED = 501
_PASSING_CODES = ("InternalError", "RequestTimeout", "ServiceUnavailable", "SlowDown", "Throttling")


def is_s3(path: str) -> bool:
    """Whether a path leads to a store of this kind, be it through another file system, as with simplecache::s3://."""
    return "s3://" in path or "s3a://" in path


@cache
def persevere() -> None:
    """For the rest of this process s3fs repeats whatever may pass, TRIES times or as often as AWS_MAX_ATTEMPTS says.

    Timeouts and botocore's own settings are those of fsspec's configuration (its files, FSSPEC_S3_CONFIG_KWARGS) where that has
    any: a user's choice comes first.
    """
    try:
        import s3fs
        from fsspec.config import conf
    except ImportError:
        return  # whoever opens such a path says what to install
    given = os.environ.get("AWS_MAX_ATTEMPTS", "")
    s3fs.S3FileSystem.retries = max(1, int(given)) if given.isdecimal() else TRIES
    s3fs.core.set_custom_error_handler(may_pass)
    settings = {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "read_timeout": READ_TIMEOUT_S,
        "retries": {"mode": "standard", "total_max_attempts": 2},
    }
    conf.setdefault("s3", {}).setdefault("config_kwargs", settings)


def may_pass(error: BaseException) -> bool:
    """Whether the same request may come to something a little later: the store's own trouble, or the network's."""
    import aiohttp
    from botocore.exceptions import ClientError, ConnectionError, HTTPClientError

    if isinstance(error, ClientError):
        return _is_passing(error.response)
    return isinstance(error, ConnectionError | HTTPClientError | aiohttp.ClientError | OSError | TimeoutError) and not isinstance(
        error, FileNotFoundError | PermissionError
    )


def _is_passing(response: Any) -> bool:
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if status >= 500:
        return bool(status != _NOT_IMPLEMENTED)
    # CopyObject and CompleteMultipartUpload may say 200 and then, in the body, that it came to nothing.
    return status in _PASSING_STATUS or response.get("Error", {}).get("Code") in _PASSING_CODES
