"""Licences of metadata: SPDX's names → their addresses, and the names that Hugging Face's cards know."""

_URLS = {
    "apache-2.0": "https://www.apache.org/licenses/LICENSE-2.0",
    "cc0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "cc-by-4.0": "https://creativecommons.org/licenses/by/4.0/",
    "cc-by-sa-4.0": "https://creativecommons.org/licenses/by-sa/4.0/",
    "cc-by-nc-4.0": "https://creativecommons.org/licenses/by-nc/4.0/",
    "cc-by-nc-sa-4.0": "https://creativecommons.org/licenses/by-nc-sa/4.0/",
    "mit": "https://opensource.org/license/mit",
    "odc-by": "https://opendatacommons.org/licenses/by/1-0/",
    "odbl": "https://opendatacommons.org/licenses/odbl/1-0/",
    "pddl": "https://opendatacommons.org/licenses/pddl/1-0/",
}
_SAME = {"odc-by-1.0": "odc-by", "odbl-1.0": "odbl", "pddl-1.0": "pddl"}  # SPDX's names of what Hugging Face calls otherwise


def known_licence(name: str) -> str | None:
    """The name that Hugging Face's cards have for a licence, None for one that they may not know."""
    lower = name.strip().lower()
    lower = _SAME.get(lower, lower)
    return lower if lower in _URLS else None


def licence_url(name: str) -> str:
    """The address of a licence's text; of one that is not known the name itself."""
    known = known_licence(name)
    return _URLS[known] if known else name
