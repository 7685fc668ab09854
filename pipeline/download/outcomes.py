"""Every end that a pair can come to: the sidecar's `status` and `error_message`, and the names in the manifest's counts."""

from typing import NamedTuple

SUCCESS = "success"
FAILED_TO_DOWNLOAD = "failed_to_download"
FAILED_TO_RESIZE = "failed_to_resize"

# error_message → what it means. HTTP statuses are http_NNN (see http_status). The statuses are img2dataset's own division.
DOWNLOAD_FAILURES = {
    "invalid_url": "not a URL that can be requested, or a redirect to none",
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
    "headers_too_large": "the response's headers exceed 64 KiB",
    "decompression_bomb": "the body's Content-Encoding inflates it more than a hundredfold",
    "bad_encoding": "the body's Content-Encoding could not be undone",
    "bad_response": "the server does not speak HTTP",
    "opt_out": "X-Robots-Tag on the image says noai, noimageai, noindex, noimageindex or none",
    "robots_txt": "robots.txt disallows it, to us, ccbot, img2dataset or webpairs (with --robots-txt)",
    "robots_unreachable": "robots.txt cannot be had, so nothing of its site is asked for (with --robots-txt)",
    "host_busy": "its host wants to be left alone for longer than --max-wait-s, and is",
    "host_unresponsive": "ten requests in a row to its host failed without an answer, and it was given up",
    "bad_boxes": "not asked: the boxes to blur are not four finite numbers each (with --blur-boxes)",
    "hash_mismatch": "the bytes as served have another hash than the pool says (with --verify-hash)",
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
    "too_many_pixels": "the header announces more than --max-pixels, or enlarging would make as many",
    "too_small": "the shorter side is below the least that is asked for",
    "too_large_area": "width × height exceed the most that is asked for",
    "too_elongated": "longer side ÷ shorter side exceeds the most that is asked for",
    "too_complex": "the file has more parts (passes, chunks, blocks) than any writer makes: a decoder would be kept busy",
    "too_long": "a side is longer than the stored format can have it",
    "truncated": "the image ends before its end marker",
    "corrupt": "the image cannot be decoded",
}

OTHER = "other"  # of img2dataset only: a message of the library's that tells none of these

_OF_HOST = {"timeout", "dns", "refused", "unreachable", "reset", "tls"}
_MAY_PASS = {"timeout", "dns", "refused", "unreachable", "reset", "bad_response"}
_LATER = {"tls", "host_busy", "host_unresponsive", "robots_unreachable", "transfer_error"}
_MAY_PASS |= {f"http_{status}" for status in (408, 425, 429, 500, 502, 503, 504)}


class Failure(NamedTuple):
    """Why a pair has no image: img2dataset's status, and the reason as error_message."""

    status: str
    reason: str | None


def removed_by(what: str) -> Failure:
    """The failure of a pair that is on a removal list by its uid, url, domain or hash, or by its bytes' md5, sha1 or sha256."""
    return Failure(FAILED_TO_DOWNLOAD, f"removed_by_{what}")


def http_status(code: int) -> str:
    """The reason for an answer that is not 2xx: 404 → http_404."""
    return f"http_{code:03d}"


def may_pass(reason: str) -> bool:
    """Whether another attempt, soon, may end otherwise."""
    return reason in _MAY_PASS


def may_pass_later(reason: str) -> bool:
    """Whether another run, hours later, may end otherwise: what --retry-failed asks for again."""
    return reason in _MAY_PASS or reason in _LATER


def is_of_host(reason: str) -> bool:
    """Whether a failure tells of its host rather than of the URL."""
    return reason in _OF_HOST


def count_name(status: str, reason: str | None) -> str:
    """The manifest's name of an outcome: success, failed_to_download_http_404, failed_to_resize_truncated …"""
    return f"{status}_{reason}" if reason else status
