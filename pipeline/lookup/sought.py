"""What a person asks for: one word → a uid, the address of an image or page, or a host with all below it."""

import re
from dataclasses import dataclass
from typing import Literal

from pipeline.addresses import normalise, public_host
from schemas.errors import UsageError

_UID = re.compile("[0-9A-Fa-f]{32}")
_HOST = re.compile(r"\[[^]]*\]|[^:/?]*")  # an IPv6 address in brackets, or all before port, path and query
_LONGEST_SHOWN = 100


@dataclass(frozen=True)
class Sought:
    """`key` is what rows are compared with: the uid in lower case, the URL as `normalise` gives it, or the host in ASCII."""

    kind: Literal["uid", "url", "host"]
    key: str

    @property
    def host(self) -> str:
        """The host of a URL, without its port, or the host sought; "" for a uid."""
        if self.kind == "uid":
            return ""
        return _HOST.match(self.key)[0]  # type: ignore[index]  # a key has one

    @property
    def domains(self) -> tuple[str, ...]:
        """What the column `domain` of a row can hold: the host, and every name that it lies below.

        All of them, not the registrable one of today's public suffix list: the release was made with another edition of it.
        """
        labels = self.host.split(".")
        return tuple(".".join(labels[first:]) for first in range(len(labels))) if self.host else ()


def read_sought(word: str) -> Sought:
    """What `word` means. Raises UsageError for what is neither uid nor http(s) URL nor host."""
    text = word.strip()
    if _UID.fullmatch(text):
        return Sought("uid", text.lower())
    if "/" in text:
        url = text if "://" in text else f"https://{text.removeprefix('//')}"
        key = normalise(url)
        if key is None:
            raise UsageError(f"{_shown(word)}: no valid http or https URL; {_EXAMPLES}")
        return Sought("url", key)
    # As in removal lists: example.org, .example.org and *.example.org are one.
    host = None if "@" in text else public_host(text.removeprefix("*").removeprefix(".").removeprefix("[").removesuffix("]"))
    if host is None:
        raise UsageError(f"{_shown(word)}: neither uid nor URL nor domain; {_EXAMPLES}")
    return Sought("host", host)


_EXAMPLES = (
    "give a uid (32 hex digits, as in 5d41402abc4b2a76b9719d911017c592), the URL of an image or page "
    "(https://img.example.org/a.jpg), or a domain or host (example.org, img.example.org)"
)


def _shown(word: str) -> str:
    return repr(word if len(word) <= _LONGEST_SHOWN else word[:_LONGEST_SHOWN] + "…")
