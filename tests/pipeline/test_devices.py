"""Which GPU a process takes, and that scoring without Spark loads nothing of it."""

import subprocess
import sys
import tarfile
import time
from io import BytesIO

import pytest

from pipeline.devices import cores_here, device_for, device_here, spark_gpu_address
from pipeline.workers import each_in_a_worker, worker_index, worker_processes
from schemas.errors import UserError


def test_cuda_is_one_of_the_gpus_by_turns_and_never_the_cpu():
    assert device_for("cuda", gpus=4, worker=3, workers=4) == "cuda:3"
    assert device_for("cuda", gpus=1) == "cuda:0"
    assert device_for("cuda", gpus=0) == "cuda"


@pytest.mark.parametrize("asked", ["cpu", "cuda:3"])
def test_a_device_that_is_asked_for_is_taken_whatever_the_launcher_says(asked):
    assert device_for(asked, gpus=8, address="1", local_rank=2, worker=1, workers=2) == asked


def test_auto_without_a_gpu_is_the_cpu():
    assert device_for("auto", gpus=0, address="1", local_rank=1, worker=1, workers=2) == "cpu"


def test_auto_of_a_process_alone_is_the_first_gpu():
    assert device_for("auto", gpus=4) == "cuda:0"


@pytest.mark.parametrize(("local", "workers", "share"), [(None, 1, 1), (None, 2, 2), ("2", 1, 2), ("2", 2, 4), ("0", 1, 1)])
def test_processes_of_a_machine_share_its_cores(monkeypatch: pytest.MonkeyPatch, local: str | None, workers: int, share: int):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(16)))
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    if local is not None:
        monkeypatch.setenv("LOCAL_WORLD_SIZE", local)
    assert cores_here(workers=workers) == 16 // share


def test_a_process_has_one_core_at_least(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "999")
    assert cores_here(workers=3) == 1


@pytest.mark.parametrize(
    ("ranks", "gpus", "expected"),
    [(4, 4, "0123"), (8, 4, "01230123"), (2, 1, "00"), (3, 8, "012")],  # more processes than cards; srun shows each its own only
)
def test_processes_of_a_launcher_take_gpus_in_turn(ranks, gpus, expected):
    assert [device_for("auto", gpus=gpus, local_rank=rank) for rank in range(ranks)] == [f"cuda:{gpu}" for gpu in expected]


@pytest.mark.parametrize("first", [0, 5])  # workers have the numbers that follow those of earlier children
def test_workers_of_one_process_take_gpus_in_turn(first):
    chosen = {device_for("auto", gpus=4, worker=first + worker, workers=4) for worker in range(4)}
    assert chosen == {f"cuda:{gpu}" for gpu in range(4)}


def test_workers_of_several_processes_take_gpus_evenly():
    chosen = [device_for("auto", gpus=8, local_rank=rank, worker=w, workers=4) for rank in range(2) for w in range(4)]
    assert sorted(chosen) == [f"cuda:{gpu}" for gpu in range(8)]


@pytest.mark.parametrize(
    ("address", "gpus", "visible", "expected"),
    [
        ("2", 4, "", "cuda:2"),
        ("2", 2, "3,2", "cuda:1"),  # torch numbers what CUDA_VISIBLE_DEVICES names
        ("GPU-5e", 2, "GPU-1a, GPU-5e", "cuda:1"),
        ("7", 1, "", "cuda:0"),  # a container that holds this card only
    ],
)
def test_a_spark_task_takes_the_gpu_it_was_given_by_torchs_number(address, gpus, visible, expected):
    assert device_for("auto", gpus=gpus, address=address, visible=visible, local_rank=1, worker=1) == expected


def test_a_gpu_of_spark_that_torch_does_not_see_is_refused():
    with pytest.raises(UserError, match=r"GPU 5, and torch sees 2 here \(CUDA_VISIBLE_DEVICES=0,1\); let Spark's discovery"):
        device_for("auto", gpus=2, address="5", visible="0,1")


def test_this_process_has_the_device_it_asks_for_or_one_that_torch_has():
    torch = pytest.importorskip("torch")
    assert device_here("cuda:7") == "cuda:7"
    assert device_here("auto", workers=2).startswith("cuda:" if torch.cuda.is_available() else "cpu")


def test_outside_of_a_task_spark_gives_no_gpu():
    assert spark_gpu_address() is None


def own_index(_):
    time.sleep(0.3)
    return worker_index()


def lost(_):
    raise AssertionError


def test_workers_know_which_they_are_and_their_parent_that_it_is_none():
    assert worker_index() is None
    for _ in range(2):  # the second time, other children came before
        seen = set(each_in_a_worker(own_index, range(6), 3, lost=lost))
        assert {index % 3 for index in seen} == {0, 1, 2}
        assert len(seen) == 3


def test_single_workers_of_several_pools_are_different_ones():
    with worker_processes(1) as one, worker_processes(1) as other:
        first, second = one.submit(own_index, 0), other.submit(own_index, 0)
        assert abs(first.result() - second.result()) == 1


ALONE = """
import sys
import pkgutil, importlib
import pipeline.score
for module in pkgutil.iter_modules(pipeline.score.__path__, "pipeline.score."):
    importlib.import_module(module.name)
from pipeline.cli import main
status = main(["score", "--shards", sys.argv[1] + "/shards", "--out", sys.argv[1] + "/out", "--model", "micro",
               "--pretrained", sys.argv[1] + "/weights.pt", "--device", "cpu"])
loaded = {name.split(".")[0] for name in sys.modules}
print("loaded", sorted(loaded & {"pyspark", "py4j", "faiss"}), "torch" in loaded)
sys.exit(status)
"""


def test_scoring_without_spark_imports_neither_spark_nor_faiss(tmp_path):
    torch = pytest.importorskip("torch")
    from PIL import Image

    from pipeline.clip import load_clip

    torch.save(load_clip("micro", None).model.state_dict(), tmp_path / "weights.pt")
    picture = BytesIO()
    Image.new("RGB", (40, 30), "red").save(picture, "PNG")
    (tmp_path / "shards").mkdir()
    with tarfile.open(tmp_path / "shards" / "00000.tar", "w") as tar:
        for name, data in (("a.png", picture.getvalue()), ("a.txt", b"a red picture"), ("a.json", b'{"uid": "%032d"}' % 7)):
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, BytesIO(data))
    command = [sys.executable, "-c", ALONE, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "loaded [] True" in ran.stdout
    assert "rows_out 1" in ran.stdout
