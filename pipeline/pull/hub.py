"""Addresses of data sets on a hub (Hugging Face's, or one of the same layout) → the web folder that holds a revision's files.

In: hf://datasets/ORG/NAME[@REV][/FOLDER], or the data set's page on the hub. HF_ENDPOINT and HF_TOKEN are honoured, as
huggingface_hub does: https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables
"""

import os
from urllib.parse import quote, unquote, urlsplit

from pipeline.pull.web import Token, origin_of
from schemas.errors import UsageError

_SCHEME = "hf://"
_VIEWS = ("tree", "resolve", "blob", "raw")  # what stands between name and revision in a page's address
_FORM = "give hf://datasets/ORG/NAME, hf://datasets/ORG/NAME@REV or the address of the data set's page"


def endpoint() -> str:
    """The hub's address."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"


def token() -> Token | None:
    """What proves to the hub, and only to it, who asks."""
    secret = os.environ.get("HF_TOKEN", "").strip()
    return Token(origin=origin_of(endpoint()), secret=secret) if secret else None


def hub_folder(url: str, revision: str) -> str | None:
    """The web folder of a data set's files at a revision (what the address names, else the one given); None for other URLs.

    Raises UsageError for a hub address that names no data set.
    """
    if url.startswith(_SCHEME):
        kind, _, path = url.removeprefix(_SCHEME).partition("/")
        if kind != "datasets" or not path:
            raise UsageError(f"{url}: names no data set; {_FORM}")
        return _resolved(url, *_named(path, revision))
    if not url.startswith(f"{endpoint()}/datasets/"):
        return None
    pieces = [unquote(piece) for piece in urlsplit(url.removeprefix(endpoint())).path.strip("/").split("/")]
    view = next((place for place in (2, 3) if pieces[place : place + 1] and pieces[place] in _VIEWS), None)
    if view is None:
        return _resolved(url, "/".join(pieces[1:3]), revision, pieces[3:])
    return _resolved(url, "/".join(pieces[1:view]), "".join(pieces[view + 1 : view + 2]), pieces[view + 2 :])


def _named(path: str, revision: str) -> tuple[str, str, list[str]]:
    """Name, revision and folder of ORG/NAME[@REV][/FOLDER] or NAME@REV. A `/` in REV is written %2F."""
    pieces = path.strip("/").split("/")
    count = 1 if "@" in pieces[0] else 2
    name, _, own = "/".join(pieces[:count]).partition("@")
    return name, unquote(own) or revision, pieces[count:]


def _resolved(url: str, name: str, revision: str, folder: list[str]) -> str:
    if not name or not revision or any(piece in {"", ".", ".."} for piece in (*name.split("/"), *folder)):
        raise UsageError(f"{url}: names no data set; {_FORM}")
    return "/".join([endpoint(), "datasets", quote(name), "resolve", quote(revision, safe=""), *map(quote, folder)])
