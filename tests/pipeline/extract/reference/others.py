"""A page → its images besides <img>, by source: (src, text, source), as written on the page."""

import re
from typing import Any

from .rights import objects_at

EXTENSIONS = {"jpg", "jpeg", "png", "gif", "webp", "bmp", "tif", "tiff", "avif"}
TAKERS = 64  # of a page's title: so many of its images have it, in order


def others_in(head: Any, links: list[dict[str, Any]], sources: set[str]) -> list[tuple[Any, Any, str]]:
    """The images in the order og:image, a, video; each source only where it is asked for."""
    said = [(property_of(meta), meta.get("content")) for meta in objects_at(head, "Metas")]
    title = first(said, "og:title") or first(said, "og:description")
    found: list[tuple[Any, Any, str]] = []
    titled = 0
    images: list[Any] = []
    for name, content in said:
        src = content if isinstance(content, str) else ""
        if "og:image" in sources and name in ("og:image", "og:image:url") and src not in images:
            images.append(src)
            found.append((src, title if titled < TAKERS else None, "og:image"))
            titled += 1
    targets = [link for link in links if link.get("path") == "A@/href" and leads_to_image(link.get("url"))]
    found += [(link["url"], link.get("text"), "a") for link in targets if "a" in sources]
    for link in links:
        if "video" in sources and link.get("path") == "VIDEO@/poster":
            texts = [link[key] for key in ("title", "alt") if isinstance(link.get(key), str) and link[key]]
            found.append((link.get("url"), texts[0] if texts else title if titled < TAKERS else None, "video"))
            titled += not texts
    return found


def property_of(meta: dict[str, Any]) -> str:
    """The Open Graph property of a meta, of those that matter."""
    for stated in (meta.get("property"), meta.get("name")):
        if isinstance(stated, str) and re.fullmatch("og:(image(:url)?|title|description)", stated.strip().lower()):
            return stated.strip().lower()
    return ""


def first(said: list[tuple[str, Any]], name: str) -> str | None:
    """The first content of a property that is a text and not blank."""
    return next((content for found, content in said if found == name and isinstance(content, str) and content.strip()), None)


def leads_to_image(url: Any) -> bool:
    """Whether a URL's path ends with an image's extension."""
    if not isinstance(url, str):
        return False
    path = re.sub("(?s)[?#].*", "", url.strip())
    path = re.sub(r"\A[A-Za-z][A-Za-z0-9+.-]*:", "", path)
    path = re.sub(r"\A//[^/]*", "", path)
    _, dot, extension = path.rpartition(".")
    return dot == "." and extension.lower() in EXTENSIONS
