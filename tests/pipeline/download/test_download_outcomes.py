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
HOLDERS = {"_stopped", "_BY_CODE", "HEADER_REASONS"}  # the names that hold a reason
FUNCTIONS = {"_reason", "_failure", "_connect_failure", "_reason_against", "refusal", "of"}  # those that return one
CALLS = {"_finish", "_give_up", "Failure", "Rules", "cls"}  # those that are given one


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


def given_by(module: Path, *errors: str) -> set[str]:
    """The strings that `module` keeps, returns or hands on as a reason, or raises as the message of one of `errors`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Assign) and target_of(node) in HOLDERS:
            found |= set(words(node.value))
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rsplit(".", 1)[-1] in {*CALLS, *errors}:
            given = [*node.args, *(keyword.value for keyword in node.keywords)]
            found |= {word for argument in given for word in words(argument)}
        elif isinstance(node, ast.FunctionDef) and node.name in FUNCTIONS:
            found |= {word for inner in ast.walk(node) if isinstance(inner, ast.Return) for word in words(inner.value)}
    return found


def test_the_reasons_for_a_failed_download_are_those_that_are_documented():
    files = ("fetching/transfer.py", "fetching/fetch.py", "fetching/robots.py", "engine.py", "shard.py")
    given = set().union(*(given_by(CODE / name) for name in files))
    given |= {removed_by(what).reason for what in (*REASONS_OF_PAIRS, *HASHES.values())}
    assert given == set(DOWNLOAD_FAILURES)


def test_the_reasons_for_a_failed_resize_are_those_that_are_documented():
    given = set().union(*(given_by(path, "BadImageError") for path in CODE.rglob("*.py") if "BadImageError" in path.read_text()))
    assert given - set(DOWNLOAD_FAILURES) == set(RESIZE_FAILURES)


def test_the_messages_of_the_other_engine_are_counted_under_documented_reasons():
    assert set(_MESSAGES.values()) <= {*DOWNLOAD_FAILURES, *RESIZE_FAILURES}
