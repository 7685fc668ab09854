"""Which model scores: every way to name one that cannot be had is told in one line."""

import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from pipeline.cli import main
from schemas.errors import UserError

REPOSITORY = Path(__file__).resolve().parents[3]


def test_an_unknown_model_names_close_ones():
    from pipeline.clip import load_clip

    with pytest.raises(UserError, match="vitb32: no such model; close: ViT-B-32"):
        load_clip("vitb32", None)
    with pytest.raises(UserError, match=r"qqqq: no such model; .*list_models"):
        load_clip("qqqq", None)


def test_our_own_models_are_known_and_may_be_written_as_openai_writes_its():
    from pipeline.clip import known_model

    assert known_model("demo") == "demo"
    assert known_model("ViT-B/32") == "ViT-B-32"


def test_weights_that_are_neither_file_nor_tag_name_the_tags(tiny):
    from pipeline.clip import load_clip

    with pytest.raises(UserError, match="laion9b: neither a file nor a tag of ViT-B-32; its tags: openai, "):
        load_clip("ViT-B-32", "laion9b")
    with pytest.raises(UserError, match=r"/nowhere\.pt: neither a file nor a tag of tiny-test; its tags: none"):
        load_clip(tiny.name, "/nowhere.pt")


def test_a_checkpoint_of_another_model_is_refused(tiny):
    from pipeline.clip import load_clip

    with pytest.raises(UserError, match=r"tiny\.pt: not a checkpoint of demo"):
        load_clip("demo", tiny.checkpoint)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 no zip"])
def test_a_file_that_is_no_checkpoint_is_refused(tiny, tmp_path: Path, content: bytes):
    from pipeline.clip import load_clip

    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"weights\.pt: not a checkpoint of tiny-test \(.+\)"):
        load_clip(tiny.name, str(path))


def test_a_checkpoint_that_would_run_code_is_refused(tiny, tmp_path: Path):
    import pickle

    from pipeline.clip import load_clip

    class Payload:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "ran",))

    (tmp_path / "weights.pt").write_bytes(pickle.dumps({"state_dict": Payload()}))
    with pytest.raises(UserError, match="not a checkpoint"):
        load_clip(tiny.name, str(tmp_path / "weights.pt"))
    assert not (tmp_path / "ran").exists()


def test_weights_that_cannot_be_fetched_offline_are_told(monkeypatch: pytest.MonkeyPatch):
    from pipeline import clip

    def offline(*_: object, **__: object) -> None:
        raise RuntimeError("Failed to download weights")

    monkeypatch.setattr(clip.open_clip, "create_model", offline)
    with pytest.raises(UserError, match=r"ViT-B-32, weights openai: could not be had .*; go online, or give a local checkpoint"):
        clip.load_clip("ViT-B-32", "openai")


@pytest.mark.parametrize(("tag", "quick"), [("openai", True), ("laion2b_s34b_b79k", False)])
def test_a_tag_gets_the_activation_that_it_was_trained_with(monkeypatch: pytest.MonkeyPatch, tiny, tag: str, quick: bool):
    from pipeline import clip

    create = clip.open_clip.create_model
    activations = []

    def tiny_instead(_name: str, _pretrained: str, **options: object) -> object:
        net = create(tiny.name, None, **options)
        activations.append(type(net.visual.transformer.resblocks[0].mlp.gelu).__name__)
        return net

    monkeypatch.setattr(clip.open_clip, "create_model", tiny_instead)
    clip.load_clip("ViT-B-32", tag)
    assert activations == ["QuickGELU" if quick else "GELU"]


def test_a_device_that_is_not_here_is_told(tiny):
    from pipeline.clip import load_clip

    with pytest.raises(UserError, match="device cuda:99: not available here"):
        load_clip(tiny.name, tiny.checkpoint, device="cuda:99")
    with pytest.raises(UserError, match="device quantum: not available here"):
        load_clip(tiny.name, tiny.checkpoint, device="quantum")


def test_our_own_models_are_known_to_code_that_runs_from_a_zip(tmp_path: Path):
    archive = tmp_path / "webpairs.zip"
    with zipfile.ZipFile(archive, "w") as target:
        for package in ("schemas", "pipeline"):
            for path in sorted((REPOSITORY / package).rglob("*")):
                if path.suffix in {".py", ".json"}:
                    target.write(path, path.relative_to(REPOSITORY))
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pipeline import clip; print(clip.__file__, clip.known_model('demo'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(archive)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == [f"{archive}/pipeline/clip.py", "demo"], done.stderr


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--model", "vitb32", "--pretrained", "openai"], 1, "vitb32: no such model"),
        (["--model", "demo", "--pretrained", "x.pt"], 1, "x.pt: neither a file nor a tag of demo"),
        (["--model", "demo", "--pretrained", "x.pt", "--column", "../a"], 2, "--column ../a: use letters"),
        (["--model", "demo", "--pretrained", "x.pt", "--batch-size", "0"], 2, "--batch-size 0: must be 1 to "),
    ],
)
def test_what_cannot_be_done_is_one_line_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], status: int, message: str
):
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "00000.tar").write_bytes(bytes(1024))
    assert main(["score", "--shards", str(tmp_path / "shards"), "--out", str(tmp_path / "out"), *words]) == status
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_missing_or_has_no_tar_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ["--out", str(tmp_path / "out"), "--model", "demo", "--pretrained", "x.pt"]
    assert main(["score", "--shards", str(tmp_path / "nowhere"), *words]) == 1
    assert main(["score", "--shards", str(tmp_path), *words]) == 1
    err = capsys.readouterr().err.splitlines()
    assert "nowhere: no such folder" in err[0]
    assert "no .tar files in it" in err[1]


@pytest.fixture
def in_memory(tiny) -> Iterator[str]:
    """The URL of the tiny model's checkpoint, in a file system of this process."""
    fs = fsspec.filesystem("memory")
    fs.pipe_file("/weights/tiny.pt", Path(tiny.checkpoint).read_bytes())
    yield "memory://weights/tiny.pt"
    fs.rm("/weights", recursive=True)


@pytest.mark.parametrize("where", ["memory", "file"])
def test_a_checkpoint_may_lie_behind_a_url(tiny, in_memory: str, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import torch

    from pipeline.clip import load_clip

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    url = in_memory if where == "memory" else f"file://{tiny.checkpoint}"
    found, expected = (load_clip(tiny.name, path).model.state_dict() for path in (url, tiny.checkpoint))
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert not list(tmp_path.iterdir())


def test_the_hash_of_a_checkpoint_behind_a_url_is_that_of_its_bytes(tiny, in_memory: str):
    from pipeline.score.plan import ModelSpec, Plan

    def pinned(pretrained: str) -> ModelSpec:
        plan = Plan(models=(ModelSpec(model=tiny.name, pretrained=pretrained, column="a"),))
        return plan.pinned(on_gpu=True).models[0]

    expected = hashlib.sha256(Path(tiny.checkpoint).read_bytes()).hexdigest()
    assert {pinned(path).sha256 for path in (in_memory, tiny.checkpoint, f"file://{tiny.checkpoint}")} == {expected}
    assert (pinned("openai").sha256, pinned("openai").precision) == ("", "bf16")


def test_a_url_without_a_checkpoint_is_told(tiny, in_memory: str):
    from pipeline.clip import load_clip

    with pytest.raises(UserError, match=r"memory://weights/none\.pt: no such file"):
        load_clip(tiny.name, "memory://weights/none.pt")
    with pytest.raises(UserError, match=r"memory://weights/tiny\.pt: not a checkpoint of demo"):
        load_clip("demo", in_memory)


def test_a_tokenizer_that_needs_a_package_names_it():
    from pipeline.clip import load_clip

    with pytest.raises(UserError, match="SigLIP: its tokenizer needs the package transformers; pip install transformers"):
        load_clip("ViT-B-16-SigLIP", None)


def test_weights_that_changed_since_the_run_began_are_not_used(tiny, tmp_path: Path):
    from pipeline.score.engine import release, require_models
    from pipeline.score.plan import ModelSpec, Plan

    path = tmp_path / "growing.pt"
    path.write_bytes(Path(tiny.checkpoint).read_bytes())
    plan = Plan(models=(ModelSpec(model=tiny.name, pretrained=str(path), column="a"),)).pinned(on_gpu=False)
    path.write_bytes(b"other weights")
    with pytest.raises(UserError, match="another file than when the run began"):
        require_models(plan.models, "cpu")
    release()
