"""The outcomes of outcomes.py → the table in docs/download.md: `python -m pipeline.download.docs` writes it there."""

import re
from pathlib import Path

from pipeline.download.outcomes import (
    DOWNLOAD_FAILURES,
    FAILED_TO_DOWNLOAD,
    FAILED_TO_RESIZE,
    RESIZE_FAILURES,
    may_pass,
    may_pass_later,
)

PAGE = Path(__file__).resolve().parents[2] / "docs" / "download.md"
_BLOCK = re.compile(r"(<!-- outcomes: .*? -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def with_outcomes(text: str) -> str:
    """The page with its table of outcomes written anew."""
    return _BLOCK.sub(lambda block: f"{block[1]}\n{outcomes()}\n\n{block[3]}", text)


def outcomes() -> str:
    """A Markdown table of all outcomes but http_NNN: what each means, and whether it is tried again."""
    lines = ["| error_message | status | what happened | tried again |", "|---|---|---|---|"]
    for status, reasons in ((FAILED_TO_DOWNLOAD, DOWNLOAD_FAILURES), (FAILED_TO_RESIZE, RESIZE_FAILURES)):
        lines += [f"| `{reason}` | {status} | {meaning} | {_again(reason)} |" for reason, meaning in reasons.items()]
    return "\n".join(lines)


def _again(reason: str) -> str:
    if may_pass(reason):
        return "soon, and with --retry-failed"
    return "with --retry-failed" if may_pass_later(reason) else "no"


if __name__ == "__main__":
    PAGE.write_text(with_outcomes(PAGE.read_text()))
