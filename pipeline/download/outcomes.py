"""Every end that a pair can come to: the sidecar's `status` and `error_message`, and the names in the manifest's counts."""

from typing import NamedTuple

SUCCESS = "success"
FAILED_TO_DOWNLOAD = "failed_to_download"
FAILED_TO_RESIZE = "failed_to_resize"

# error_message → what it means. HTTP statuses are http_NNN (see http_status). The statuses are img2dataset's own division.
DOWNLOAD_FAILURES = {
    "invalid_url": "not a URL that can be requested",
    "unsupported_scheme": "not http or https, at first or after a redirect",
    "dns": "the host's name could not be resolved",
    "refused": "the host refused the connection",
    "unreachable": "no connection for another reason",
    "blocked_address": "the host, or a redirect, leads to a private, loopback or otherwise special address",
    "tls": "no trusted TLS connection",
    "timeout": "the request took longer than --timeout-s",
    "reset": "the connection broke, or the body was shorter than announced",
    "too_many_redirects": "more than ten redirects",
    "too_large": "the body exceeds --max-bytes",
    "bad_encoding": "the body's Content-Encoding could not be undone",
    "bad_response": "the server does not speak HTTP",
    "opt_out": "X-Robots-Tag on the image says noai, noimageai, noindex, noimageindex or none",
    "transfer_error": "any other failure of the transfer",
    # With --remove: what was asked to go since the pool was made is not fetched; what is known by its bytes is not stored.
    "removed_by_uid": "the pair's uid is on a removal list",
    "removed_by_url": "its URL is on a removal list",
    "removed_by_domain": "its host, or a domain above it, is on a removal list",
    "removed_by_hash": "the md5, sha1 or sha256 of its URL is on a removal list",
    "removed_by_md5": "the md5 of the bytes as served is on a removal list",
    "removed_by_sha1": "the sha1 of the bytes as served is on a removal list",
    "removed_by_sha256": "the sha256 of the bytes as served is on a removal list",
}
RESIZE_FAILURES = {
    "not_image": "the body is no image of a known format (JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF)",
    "too_many_pixels": "the header announces more than --max-pixels",
    "truncated": "the image ends before its end marker",
    "corrupt": "the image cannot be decoded",
}

OTHER = "other"  # of img2dataset only: a message of the library's that tells none of these

_MAY_PASS = {"timeout", "dns", "refused", "unreachable", "reset", "bad_response"}
_MAY_PASS |= {f"http_{status}" for status in (408, 425, 429, 500, 502, 503, 504)}


class Failure(NamedTuple):
    """Why a pair has no image: img2dataset's status, and the reason as error_message."""

    status: str
    reason: str


def removed_by(what: str) -> Failure:
    """The failure of a pair that is on a removal list by its uid, url, domain or hash, or by its bytes' md5, sha1 or sha256."""
    return Failure(FAILED_TO_DOWNLOAD, f"removed_by_{what}")


def http_status(code: int) -> str:
    """The reason for an answer that is not 2xx: 404 → http_404."""
    return f"http_{code:03d}"


def may_pass(reason: str) -> bool:
    """Whether another attempt may end otherwise."""
    return reason in _MAY_PASS


def count_name(status: str, reason: str | None) -> str:
    """The manifest's name of an outcome: success, failed_to_download_http_404, failed_to_resize_truncated …"""
    return f"{status}_{reason}" if reason else status
