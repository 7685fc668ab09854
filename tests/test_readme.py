"""The README is true: its commands run, its links lead somewhere, its tables name what is there."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli import COMMANDS

REPOSITORY = Path(__file__).resolve().parent.parent
README = (REPOSITORY / "README.md").read_text()
SCRIPTS = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def run_script(script: str, folder: Path) -> tuple[int, str]:
    """Exit status and output of a bash script; what it started and left behind is ended."""
    from pipeline.spark import java_home

    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    settings = {"PATH": path, "JAVA_HOME": java_home(), "PYSPARK_PYTHON": sys.executable, "OMP_NUM_THREADS": "2"}
    with (folder / "output.txt").open("w+") as output:
        bash = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=folder,
            env={**os.environ, **settings},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = bash.wait(timeout=500)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(bash.pid, signal.SIGKILL)
            bash.wait()
        output.seek(0)
        return status, output.read()


def make_targets() -> str:
    return subprocess.run(["make", "help"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def beside_a_demo(demo_root: Path, tmp_path: Path) -> Path:
    """A folder as a reader has it who ran `make demo`: the demo, the jobs and the zip."""
    (tmp_path / "demo").symlink_to(demo_root)
    (tmp_path / "jobs").symlink_to(REPOSITORY / "jobs")
    (tmp_path / "dist").mkdir()
    subprocess.run([sys.executable, "-m", "jobs.package", str(tmp_path / "dist/webpairs.zip")], check=True, cwd=REPOSITORY)
    return tmp_path


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.split("\n")[-2][:40])
def test_the_commands_run_as_they_stand(script: str, beside_a_demo: Path):
    status, output = run_script(script, beside_a_demo)
    assert status == 0, output
    if "report" in script:
        assert (beside_a_demo / "mine/7_ranking/report.html").stat().st_size > 100_000


def test_every_command_is_in_the_table_of_stages():
    named = set(re.findall(r"^\| `webpairs (\w+)`", README, re.MULTILINE))
    assert named == set(COMMANDS) - {"demo"}


@pytest.mark.parametrize("target", sorted(set(re.findall(r"^    make (\S+)", README, re.MULTILINE))))
def test_the_make_targets_exist(target: str):
    assert target in make_targets()


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)\)", README))))
def test_the_links_lead_somewhere(link: str):
    assert (REPOSITORY / link).exists()


def test_the_tree_names_the_folders_that_are_there():
    tree = README.split("## The tree")[1].split("## ")[0]
    named = set(re.findall(r"^    (\w+)/", tree, re.MULTILINE))
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.split()
    assert named == {path.split("/")[0] for path in listed if "/" in path and not path.startswith(".")}


def test_bash_is_there_to_run_them():
    assert shutil.which("bash")
    assert len(SCRIPTS) == 2
