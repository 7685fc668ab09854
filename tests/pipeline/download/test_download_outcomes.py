"""Every reason that the code can give for a failure is documented, and every documented one can be given."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pipeline.download
from pipeline.download.outcomes import DOWNLOAD_FAILURES, RESIZE_FAILURES, removed_by
from pipeline.download.peer import _MESSAGES
from pipeline.removal import REASONS as REASONS_OF_PAIRS
from pipeline.removal.keys import HASHES

CODE = Path(pipeline.download.__file__).parent
REASONS = {"reason", "_stopped"}  # the names that hold one


def words(node: ast.AST | None) -> Iterator[str]:
    """The strings that an expression may come to; of a condition, not those it compares with."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from [*words(node.body), *words(node.orelse)]
    elif isinstance(node, ast.Dict):
        yield from [word for value in node.values for word in words(value)]
    elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".get"):
        yield from [word for argument in node.args[1:] for word in words(argument)]


def target_of(node: ast.Assign) -> str:
    return ast.unparse(node.targets[0]).rsplit(".", 1)[-1]


def given_by(module: str, *, holders: set[str], functions: set[str], error: str = "") -> set[str]:
    """The strings that `module` assigns to `holders`, returns from `functions`, or raises as the message of `error`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((CODE / module).read_text())):
        if isinstance(node, ast.Assign) and target_of(node) in holders:
            found |= set(words(node.value))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == error:
            found |= set(words(node.args[0]))
        elif isinstance(node, ast.FunctionDef) and node.name in functions:
            found |= {word for inner in ast.walk(node) if isinstance(inner, ast.Return) for word in words(inner.value)}
    return found


def test_the_reasons_for_a_failed_download_are_those_that_are_documented():
    by_transfer = given_by("transfer.py", holders=REASONS | {"_BY_CODE"}, functions={"outcome", "_connect_failure"})
    by_fetcher = given_by("fetch.py", holders=REASONS, functions=set())
    assert {"timeout", "opt_out", "blocked_address", "transfer_error"} <= by_transfer
    assert {"invalid_url", "unsupported_scheme"} <= by_fetcher
    by_removal = {removed_by(what).reason for what in (*REASONS_OF_PAIRS, *HASHES.values())}
    assert by_transfer | by_fetcher | by_removal == set(DOWNLOAD_FAILURES)


def test_the_reasons_for_a_failed_resize_are_those_that_are_documented():
    assert given_by("image.py", holders=set(), functions=set(), error="BadImageError") == set(RESIZE_FAILURES)


def test_the_messages_of_the_other_engine_are_counted_under_documented_reasons():
    assert set(_MESSAGES.values()) <= {*DOWNLOAD_FAILURES, *RESIZE_FAILURES}
