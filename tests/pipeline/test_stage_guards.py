"""What the stage frame refuses or mends: a full disk, its own input as its output, a damaged ledger."""

import json
import resource
from dataclasses import dataclass
from multiprocessing import parent_process
from pathlib import Path

import pytest

from pipeline import io
from pipeline.cli import guarded
from pipeline.manifest import InputReport, PartReport
from pipeline.options import StageConfig, option
from pipeline.stage import Part, run_stage
from schemas.errors import UsageError, UserError

ROOM_BYTES = 1_000_000


@dataclass(frozen=True, kw_only=True)
class FillConfig(StageConfig):
    out: str = option("folder")
    worker_room: bool = option("limit files in workers to ROOM_BYTES", False, affects_output=False)


def fill(config, part, folder):
    """As many zeros as the part's input says."""
    if config.worker_room and parent_process() is not None:  # a worker does not inherit what its parent was limited to since
        resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM_BYTES, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    with folder.open(f"{part.name}.bin") as file:
        file.write(bytes(int(Path(part.inputs[0]).read_text())))
    return PartReport(name=part.name, counts={"rows_out": 1}, inputs=(InputReport(path=part.inputs[0]),))


@pytest.fixture
def full_disk():
    """Files of this process grow to ROOM_BYTES and no further: what a full disk looks like to whoever writes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM_BYTES, hard))
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def parts_of(folder, **sizes):
    folder.mkdir(exist_ok=True)
    for name, size in sizes.items():
        (folder / name).write_text(str(size))
    return [Part(name=name, inputs=(str(folder / name),)) for name in sizes]


def run(tmp_path, parts, **settings):
    out = str(tmp_path / "out")
    return run_stage("fill", FillConfig(out=out, **settings), parts, fill, out=out)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_ends_the_run_in_one_line_and_is_no_fault_of_the_part(tmp_path, full_disk, capsys, workers):
    parts = parts_of(tmp_path / "in", a=10, b=2 * ROOM_BYTES, c=10)
    assert guarded("x", lambda: run(tmp_path, parts[:1]).counts["rows_out"]) == 1
    assert guarded("x", lambda: bool(run(tmp_path, parts, workers=workers, worker_room=True)) + 1) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"x: {tmp_path}/out: cannot be written (File too large); make room, then run the same command again")
    assert told.count("\n") == 1
    assert "b.json" not in names(tmp_path / "out" / "_parts")
    assert "_manifest.json" not in names(tmp_path / "out")
    full_disk()  # there is room again
    manifest = run(tmp_path, parts)
    assert (manifest.counts, manifest.failed_inputs) == ({"rows_out": 3}, [])
    assert manifest.parts_resumed >= 1
    assert (tmp_path / "out" / "b.bin").stat().st_size == 2 * ROOM_BYTES


@pytest.mark.usefixtures("full_disk")
def test_a_file_that_the_disk_has_no_room_for_is_named_and_the_old_one_stays(tmp_path):
    def write():
        with io.atomic_write(str(tmp_path / "x")) as file:
            file.write(bytes(2 * ROOM_BYTES))

    (tmp_path / "x").write_bytes(b"old")
    with pytest.raises(UserError, match=r"/x: cannot be written \(File too large\); make room"):
        write()
    assert names(tmp_path) == ["x"]
    assert (tmp_path / "x").read_bytes() == b"old"


def test_an_out_that_is_the_folder_which_the_stage_reads_is_refused_and_left_alone(tmp_path):
    run(tmp_path, parts_of(tmp_path / "in", a=10))
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    (tmp_path / "link").symlink_to(tmp_path / "out")
    for spelling in (
        f"{tmp_path}/out",
        f"{tmp_path}/out/",
        f"{tmp_path}/in/../out",
        f"{tmp_path}/link",
        f"file://{tmp_path}/out",
    ):
        with pytest.raises(UsageError, match=f"{spelling}: --out is the folder that other reads"):
            run_stage("other", FillConfig(out=spelling), [], fill, out=spelling, upstream=[str(tmp_path / "out")])
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "damage",
    [b"", b"{half", b"null", b"[]", b"{}", b"\xff\xfe", b"\0" * 64, b'{"name": "a", "inputs": [], "files": 3}'],
)
def test_a_part_whose_record_is_damaged_is_done_again_and_the_others_are_not(tmp_path, damage):
    parts = parts_of(tmp_path / "in", a=10, b=20)
    first = run(tmp_path, parts)
    record = tmp_path / "out" / "_parts" / "a.json"
    whole = json.loads(record.read_bytes())
    record.write_bytes(damage)
    (tmp_path / "out" / "a.bin").write_bytes(b"who knows")
    again = run(tmp_path, parts)
    assert (again.parts_resumed, again.counts, again.inputs) == (1, first.counts, first.inputs)
    assert (tmp_path / "out" / "a.bin").read_bytes() == bytes(10)
    assert json.loads(record.read_bytes())["files"] == whole["files"]


def test_a_name_that_is_taken_by_a_folder_ends_the_run_by_name_and_the_work_is_not_lost(tmp_path):
    parts = parts_of(tmp_path / "in", a=10)
    (tmp_path / "out" / "a.bin" / "x").mkdir(parents=True)
    for _ in range(2):
        with pytest.raises(UserError, match=r"/a\.bin: cannot be written \(Is a directory\)"):
            run(tmp_path, parts)
    (tmp_path / "out" / "a.bin" / "x").rmdir()
    (tmp_path / "out" / "a.bin").rmdir()
    assert run(tmp_path, parts).parts_resumed == 1
    assert (tmp_path / "out" / "a.bin").read_bytes() == bytes(10)
