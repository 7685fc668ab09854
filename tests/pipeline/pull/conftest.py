"""A release on a web server, and a pull of it that does not wait long."""

import pytest

from pipeline.pull import PullConfig
from pipeline.pull.pulling import pull
from tests.pipeline.pull.serving import serving
from tests.pipeline.release.making import make_release, row

ROWS = 230


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """Three data files with arrays beside them, a subset, a card. Tests that change files of it copy it before."""
    rows = [row(number) for number in range(ROWS)]
    return make_release(tmp_path_factory.mktemp("release"), rows, arrays=24, subsets={"some": [rows[7]["uid"], rows[9]["uid"]]})


@pytest.fixture
def server(release):
    with serving(release) as served:
        yield served


@pytest.fixture
def pulled(server, tmp_path):
    """Calls pull from the server to tmp_path/copy, or as told."""

    def call(**more):
        settings = {
            "url": server.url,
            "out": str(tmp_path / "copy"),
            "wait_s": 0.001,
            "timeout_s": 5.0,
            "workers": 3,
            "attempts": 4,
        }
        return pull(PullConfig(**settings | more))

    return call


@pytest.fixture
def same_as(release):
    """Whether a folder holds every file of the release, byte for byte, and no other that is visible."""

    def compare(folder, original=release):
        return contents(folder) == contents(original)

    return compare


def contents(folder):
    """Visible files below a folder: relative name → bytes."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("_"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}
