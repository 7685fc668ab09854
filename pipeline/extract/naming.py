"""What a WAT is called where it is written down: in manifests, in the table, as a part. Names from outside become safe here."""

import hashlib
import re

CRAWL_IN_PATH = re.compile(r"(?:^|/)crawl-data/([A-Za-z0-9][A-Za-z0-9._-]*)/")
# scheme, user info (as far as a careless password may reach), host and path; what follows is query and fragment.
_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<user>[^/]*@)?(?P<place>[^?#]*)")
_CHAINED = re.compile(r"::(?=[A-Za-z][A-Za-z0-9+.-]*://)")  # fsspec: simplecache::https://…
_AZURE = frozenset({"abfs", "abfss", "wasb", "wasbs"})  # there a container stands before the @, which is no secret
_ENDING = re.compile(r"(\.(warc|arc))?(\.wat)?(\.(gz|zst))?$", re.IGNORECASE)
_MAX_NAME_CHARS = 120
_DIGEST_CHARS = 12  # 48 bits: none meet by chance among the 90,000 WATs of a crawl


def public_path(path: str) -> str:
    """The path without what may be a secret: a URL's user, query (signatures, tokens) and fragment. A local path as it is."""
    return "::".join(_public_url(url) for url in _CHAINED.split(path))


def wat_path(path: str) -> str:
    """How Common Crawl names the file, whichever mirror it was read from; any other path as `public_path` has it."""
    public = public_path(path)
    found = CRAWL_IN_PATH.search(public)
    named = public[found.start() :].lstrip("/") if found else public
    return named.encode("utf-8", "backslashreplace").decode()  # a file name may hold bytes that are no UTF-8


def part_name(path: str) -> str:
    """A safe file name without suffix: the WAT's own and a hash of its public path.

    Always with the hash, so that it is the same whatever is read besides, now or later; without the secrets of the path, so
    that a URL that was signed anew is still the same WAT.
    """
    public = public_path(path)
    digest = hashlib.sha256(public.encode("utf-8", "surrogateescape")).hexdigest()
    kept = re.sub(r"[^A-Za-z0-9._-]+", "_", _ENDING.sub("", public.rstrip("/").rsplit("/", 1)[-1]))
    # What begins with _ or . is hidden from the readers of a folder.
    return f"{kept.lstrip('._-')[:_MAX_NAME_CHARS] or 'wat'}-{digest[:_DIGEST_CHARS]}"


def _public_url(url: str) -> str:
    found = _URL.match(url)
    if found is None:
        return url
    user = found["user"] if found["user"] and found["scheme"].lower() in _AZURE else ""
    return f"{found['scheme']}://{user}{found['place']}"
