"""Untrusted text → Markdown and YAML that say it and do nothing else: names, licences, domains and paths come from anywhere."""

import json
import re

from pipeline.report.text import visible

# CommonMark lets a backslash stand before any ASCII punctuation. Parentheses and ! do nothing where brackets are escaped.
_PUNCTUATION = re.compile(r"([\\`*_\[\]#|~$@])")
_LINKED = re.compile(r"(:)(?=//)|(?<=www)(\.)", re.IGNORECASE)  # GitHub's Markdown makes links of bare addresses
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}
_HTML_SIGNS = re.compile(r"[&<>\"]")
_START = re.compile(
    r"^([-+=]|-[-\s]*-|=+|\d{1,9}[.)])(?=\s|$)"
)  # a list, a rule or a heading's underline, at the beginning of a line


def markdown(value: object, most: int = 300) -> str:
    """`value` as text within a line of Markdown: one line, no markup, no HTML, no link, no end of a table's cell."""
    text = " ".join(visible(value, most).split())
    escaped = _PUNCTUATION.sub(r"\\\1", text)
    escaped = _LINKED.sub(lambda found: f"\\{found[0]}", escaped)
    escaped = _HTML_SIGNS.sub(lambda sign: _HTML[sign[0]], escaped)
    return _START.sub(lambda found: f"{found[0][:-1]}\\{found[0][-1]}", escaped)


def code(value: object, most: int = 300) -> str:
    """`value` as a span of code, also within a table: fenced by more backticks than stand in it."""
    text = " ".join(visible(value, most).split()).replace("|", "\\|") or " "
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    padding = " " if text.startswith("`") or text.endswith("`") or len(fence) > 1 else ""
    return f"{fence}{padding}{text}{padding}{fence}"


def yaml(value: object) -> str:
    """A text as a scalar of YAML: JSON's quotes are YAML's, and no sign is left that YAML would refuse."""
    return json.dumps(visible(value), ensure_ascii=False)
