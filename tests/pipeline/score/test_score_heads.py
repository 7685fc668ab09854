"""Heads: what torch computes is what is scored, whatever the batch; what is no head is told, and runs nothing."""

import hashlib
import io
import json
import pickle
import re
import struct
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save
from torch import nn

from pipeline.score.heads import HeadSpec, head_specs, load_head
from schemas.columns import doc_of
from schemas.errors import UsageError, UserError

REPOSITORY = Path(__file__).resolve().parents[3]


def unit(n: int, d: int, seed: int = 0) -> np.ndarray:
    """(n, d) float16 unit rows."""
    rows = np.random.default_rng(seed).normal(size=(n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


def by_torch(net: nn.Module, embeddings: np.ndarray) -> np.ndarray:
    """(n,) of the whole array at once."""
    with torch.no_grad():
        return net.eval()(nn.functional.normalize(torch.from_numpy(embeddings.astype(np.float32)))).numpy()[:, 0]


def linear(*widths: int, between: Callable[[], list[nn.Module]] = list) -> nn.Sequential:
    """Linear layers of these widths, and what `between` makes after each but the last."""
    modules: list[nn.Module] = []
    for before, after in pairwise(widths):
        modules += [nn.Linear(before, after), *between()]
    return nn.Sequential(*modules[: len(modules) - len(between())])


@pytest.fixture(autouse=True)
def same_weights():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., str]:
    """saved(object, name): the path of a file that torch.save made of it."""

    def save_it(thing: object, name: str = "head.pth") -> str:
        torch.save(thing, tmp_path / name)
        return str(tmp_path / name)

    return save_it


@pytest.fixture
def safe(tmp_path: Path) -> Callable[..., str]:
    """safe(tensors, **metadata): the path of a .safetensors file of them."""

    def save_it(tensors: dict[str, torch.Tensor], **metadata: str) -> str:
        (tmp_path / "head.safetensors").write_bytes(save(tensors, metadata))
        return str(tmp_path / "head.safetensors")

    return save_it


def test_a_linear_scores_as_torch_does(saved):
    net = nn.Linear(768, 1)
    embeddings = unit(300, 768)
    scores = load_head(saved(net.state_dict())).score(embeddings)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, by_torch(net, embeddings), atol=1e-5)


def test_laions_improved_predictor_scores_as_torch_does(saved):
    net = nn.Sequential(*linear(768, 1024, 128, 64, 16, between=lambda: [nn.Dropout(0.2)]), nn.Linear(16, 1))
    embeddings = unit(300, 768)
    state = nn.ModuleDict({"layers": net}).state_dict()
    assert list(state)[-3:] == ["layers.6.bias", "layers.7.weight", "layers.7.bias"]
    head = load_head(saved(state), activation="none")
    assert head.dimensions == 768
    np.testing.assert_allclose(head.score(embeddings), by_torch(net, embeddings), atol=1e-5)
    path = saved({"state_dict": state, "epoch": 3})
    np.testing.assert_array_equal(load_head(path, activation="none").score(embeddings), head.score(embeddings))


@pytest.mark.parametrize(("name", "module"), [("relu", nn.ReLU), ("gelu", nn.GELU)])
def test_an_activation_stands_only_where_the_sequential_has_room_for_it(saved, name: str, module: type[nn.Module]):
    net = nn.Sequential(*linear(64, 32, 16, 8, between=lambda: [module(), nn.Dropout(0.2)]), nn.Linear(8, 1), nn.Sigmoid())
    embeddings = unit(100, 64)
    assert [n for n in net.state_dict() if n.endswith("weight")] == ["0.weight", "3.weight", "6.weight", "7.weight"]
    head = load_head(saved(net.state_dict()), activation=name, output="sigmoid")
    np.testing.assert_allclose(head.score(embeddings), by_torch(net, embeddings), atol=1e-5)


def test_a_state_dict_that_may_have_activations_must_be_told_which(saved):
    path = saved(linear(8, 4, 1, between=lambda: [nn.ReLU()]).state_dict())
    with pytest.raises(UserError, match=r"head\.pth: does not say what stands between its layers; give activation: none, relu"):
        load_head(path)


def keras_scores(arrays: list[np.ndarray], embeddings: np.ndarray) -> np.ndarray:
    """(n,) as Keras's layers compute them: (x - mean) / sqrt(variance), then x @ kernel + bias, relu between, sigmoid at last."""
    mean, variance, *dense = arrays
    x = (embeddings.astype(np.float32) - mean) / np.maximum(np.sqrt(variance), 1e-7)
    for kernel, bias in zip(dense[::2], dense[1::2], strict=True):
        x = np.maximum(x @ kernel + bias, 0) if kernel.shape[1] > 1 else 1 / (1 + np.exp(-(x @ kernel + bias)))
    return x[:, 0]


def test_keras_layers_converted_as_the_docs_say_score_as_keras_does(tmp_path: Path):
    """The docs' own code, on the arrays that Keras's Normalization and Dense layers have."""

    normalization, linear_layer = (type(name, (list,), {"get_weights": list.copy}) for name in ("Normalization", "Dense"))
    rng = np.random.default_rng(1)
    shapes = [shape for a, b in pairwise([512, 32, 32, 1]) for shape in ((a, b), (b,))]
    dense = [(rng.normal(size=shape) / shape[0] ** 0.5).astype(np.float32) for shape in shapes]
    mean, variance = (rng.normal(size=512) / 20).astype(np.float32), (rng.random(512) / 500 + 1e-4).astype(np.float32)
    layers = [normalization([mean, variance, np.array(7)]), *(linear_layer(dense[i : i + 2]) for i in range(0, len(dense), 2))]
    code = re.search(r"^layers = .*?\n(.*?)```", (REPOSITORY / "docs/score.md").read_text(), re.DOTALL | re.MULTILINE)
    path = tmp_path / "nsfw_b32.safetensors"
    exec("import numpy as np\nfrom safetensors.numpy import save_file\n" + code[1], {"layers": layers, "path": str(path)})
    embeddings = unit(100, 512).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    scores = load_head(str(path)).score(embeddings)
    np.testing.assert_allclose(scores, keras_scores([mean, variance, *dense], embeddings), atol=1e-5)
    assert 0 < scores.min() < scores.max() < 1


@settings(max_examples=40)
@given(
    widths=st.lists(st.integers(1, 70), min_size=1, max_size=5),
    n=st.integers(0, 600),
    cuts=st.lists(st.integers(0, 600), max_size=5),
    activation=st.sampled_from(["none", "relu", "gelu"]),
)
def test_any_shape_scores_as_torch_does_however_the_rows_are_split(tmp_path_factory, widths, n, cuts, activation):
    module = {"none": nn.Identity, "relu": nn.ReLU, "gelu": nn.GELU}[activation]
    net = linear(*widths, 1, between=lambda: [module()])
    path = tmp_path_factory.mktemp("heads") / "head.safetensors"
    tensors = {f"{int(name.split('.')[0]) // 2}.{name.split('.')[1]}": t for name, t in net.state_dict().items()}
    path.write_bytes(save(tensors, {"activation": activation, "output": "none"}))
    head, embeddings = load_head(str(path)), unit(n, widths[0]).astype(np.float16 if n % 2 else np.float32)
    whole = head.score(embeddings)
    np.testing.assert_allclose(whole, by_torch(net, embeddings), atol=1e-5)
    pieces = np.split(embeddings, sorted(min(cut, n) for cut in cuts))
    np.testing.assert_allclose(np.concatenate([head.score(piece) for piece in pieces]), whole, atol=1e-5)


def test_embeddings_that_are_read_only_or_strided_or_not_finite_are_scored(saved):
    head = load_head(saved(nn.Linear(16, 1).state_dict()))
    embeddings = unit(40, 16)
    expected = head.score(embeddings)
    embeddings.flags.writeable = False
    np.testing.assert_array_equal(head.score(embeddings), expected)
    np.testing.assert_array_equal(head.score(np.asfortranarray(embeddings)[::2]), expected[::2])
    broken = embeddings.copy()
    broken[3, 2], broken[5, 1] = np.nan, np.inf
    broken[7] = 0
    assert np.flatnonzero(~np.isfinite(head.score(broken))).tolist() == [3, 5]


def test_unit_input_says_whether_rows_are_brought_to_length_one_first(safe):
    tensors = {"0.weight": torch.ones(1, 4), "0.bias": torch.zeros(1)}
    rows = np.array([[3, 0, 0, 0]], np.float32)
    assert load_head(safe(tensors, output="none")).score(rows).tolist() == [1]
    assert load_head(safe(tensors, output="none", unit_input="false")).score(rows).tolist() == [3]


class Runs:
    """Unpickling it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.path,))


def test_a_pickle_that_would_run_code_is_refused_and_not_run(saved, tmp_path: Path):
    mark = tmp_path / "ran"
    with pytest.raises(UserError, match=r"head\.pth: holds more than plain tensors .*nothing of it was run; give .*state_dict"):
        load_head(saved({"weight": torch.ones(1, 4), "bias": Runs(mark)}))
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Runs(mark)))
    with pytest.raises(UserError, match=r"plain\.pth: not a head \(neither"):
        load_head(str(tmp_path / "plain.pth"))
    assert not mark.exists()


class Large:
    """Unpickling it would fill the memory, with what torch trusts."""

    def __reduce__(self) -> tuple:
        return (bytearray, (2**36,))


@pytest.mark.parametrize(
    ("thing", "named"),
    [
        (nn.Linear(4, 1), r"torch\.nn\.modules\.linear Linear"),
        ({"weight": torch.ones(1, 4), "more": Large()}, "__builtin__ bytearray"),
        ({"weight": torch.ones(1, 4).to_sparse()}, r"torch\._utils _rebuild_sparse_tensor"),
        ({"weight": torch.ones(1, 4, device="meta")}, r"torch\._utils _rebuild_meta_tensor_no_storage"),
    ],
)
def test_what_is_more_than_plain_tensors_is_refused_with_what_to_save(saved, thing: object, named: str):
    with pytest.raises(UserError, match=rf"more than plain tensors \({named}\), which could run code; .*state_dict\(\)"):
        load_head(saved(thing))


@pytest.mark.parametrize("form", ["torch", "safetensors"])
def test_a_file_cut_anywhere_is_no_head(saved, safe, tmp_path: Path, form: str):
    net = linear(8, 4, 1).state_dict()
    made = Path(saved(net) if form == "torch" else safe(net, activation="none", output="none"))
    load_head(str(made))
    content = made.read_bytes()
    for length in [*range(0, len(content), 97), len(content) - 1]:
        (tmp_path / "cut").write_bytes(content[:length])
        with pytest.raises(UserError, match=r"cut: not a head \(.+\); docs/score\.md says"):
            load_head(str(tmp_path / "cut"))


@settings(max_examples=200)
@given(where=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255), form=st.sampled_from(["torch", "safetensors"]))
def test_a_byte_that_is_wrong_ends_in_a_user_error_or_in_scores(tmp_path_factory, where: float, byte: int, form: str):
    net, target = linear(8, 4, 1).state_dict(), io.BytesIO()
    torch.save(net, target)
    content = bytearray(target.getvalue() if form == "torch" else save(net, {"activation": "relu", "output": "none"}))
    content[int(where * len(content))] = byte
    path = tmp_path_factory.mktemp("broken") / "head"
    path.write_bytes(content)
    try:
        head = load_head(str(path))
    except UserError:
        return
    assert head.score(unit(3, head.dimensions)).shape == (3,)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({}, "holds a dict, not a state_dict"),
        ([1, 2], "holds a list, not a state_dict"),
        ({"weight": [1.0]}, "holds a dict, not a state_dict of tensors"),
        ({"weight": torch.ones(3, 4), "bias": torch.ones(3)}, "gives 3 numbers per embedding; a head gives one"),
        ({"weight": torch.ones(1, 4), "bias": torch.ones(2)}, r"layer 0 is not linear: bias \(2,\), weight \(1, 4\)"),
        ({"weight": torch.full((1, 4), torch.nan)}, r"0\.weight holds NaN or infinity"),
        ({"weight": torch.ones(1, 4), "bias": torch.full((1,), torch.inf)}, r"0\.bias holds NaN or infinity"),
        ({"bias": torch.ones(1)}, "holds 'bias', which is no weight or bias of a numbered layer"),
        ({"0.bias": torch.ones(1)}, "layer 0 is not linear: bias"),
        ({"0.weight": torch.ones(1, 4), "00.weight": torch.ones(1, 4)}, r"holds '00\.weight'"),
        ({"0.weight": torch.ones(4)}, r"layer 0 is not linear: weight \(4,\)"),
        ({"0.weight": torch.ones(0, 4), "1.weight": torch.ones(1, 0)}, "layer 0 is not linear"),
        ({"0.weight": torch.ones(5, 4), "1.weight": torch.ones(1, 6)}, "layer 1 takes 6 numbers, the one before gives 5"),
        ({"a.0.weight": torch.ones(1, 4), "b.0.weight": torch.ones(1, 4)}, "1 layers in 2 networks"),
        ({"0.weight": torch.ones(1, 4), "1.running_mean": torch.ones(4)}, r"holds '1\.running_mean', which is no weight"),
        ({"weight": torch.ones(1, 4, dtype=torch.int64)}, "0.weight is torch.int64"),
        ({"weight": torch.ones(1, 1).expand(1, 2**40)}, "1,099,511,627,776 weights; a head has at most 67,108,864"),
        ({f"{i}.weight": torch.ones(1, 1).expand(2**12, 2**12) for i in range(5)}, "83,886,080 weights; a head has at most"),
        ({"linear.weight": torch.ones(1, 4), "linear.bias": torch.ones(1)}, "holds 'linear.weight'"),
        ({f"{i}.weight": torch.ones(1, 1) for i in range(65)}, "65 layers in 1 networks; 1 to 64"),
    ],
)
def test_a_state_dict_that_is_no_head_is_told_why(saved, state: object, reason: str):
    with pytest.raises(UserError, match=rf"head\.pth: not a head \(.*{reason}.*\); docs/score\.md says"):
        load_head(saved(state), activation="none")


def test_files_that_are_or_unpack_too_large_are_refused_before_they_are_unpacked(tmp_path: Path, saved):
    with open(tmp_path / "large.pth", "wb") as file:
        file.truncate(2**38)
    with pytest.raises(UserError, match=r"large\.pth: not a head \(larger than 256 MB\)"):
        load_head(str(tmp_path / "large.pth"))
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            archive.writestr(f"archive/data/{number}", bytes(100 * 2**20))
    with pytest.raises(UserError, match=r"bomb\.pth: not a head \(unpacks to more than 256 MB, or"):
        load_head(str(tmp_path / "bomb.pth"))
    header = json.dumps({"0.weight": {"dtype": "F32", "shape": [1, 2**40], "data_offsets": [0, 2**42]}}).encode()
    (tmp_path / "claims.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(UserError, match=r"claims\.safetensors: not a head \(not a \.safetensors file, or cut short"):
        load_head(str(tmp_path / "claims.safetensors"))


@pytest.mark.parametrize(
    ("tensors", "metadata", "message"),
    [
        ({"0.weight": (1, 4)}, {}, "does not tell its output; give it: none, sigmoid"),
        ({"0.weight": (3, 4), "1.weight": (1, 3)}, {"output": "none"}, "does not tell its activation; give it: none, relu, gelu"),
        ({"0.weight": (1, 4)}, {"output": "softmax"}, "output is 'softmax'; choose none or sigmoid"),
        ({"0.weight": (1, 4)}, {"output": "none", "activation": "tanh"}, "activation is 'tanh'; choose none or relu or gelu"),
        ({"0.weight": (1, 4)}, {"output": "none", "unit_input": "yes"}, "unit_input is 'yes'; choose true or false"),
        ({"0.weight": (3, 4), "2.weight": (1, 3)}, {"output": "none"}, "its layers are numbered 0, 2, not 0, 1, 2"),
        ({"0.weight": (1, 4), "mean": (5,)}, {"output": "none"}, r"mean or std has the shape \(5,\), layer 0 takes 4 numbers"),
        ({"0.weight": (1, 4), "std": (1, 4)}, {"output": "none"}, r"std has the shape \(1, 4\), layer 0 takes 4 numbers"),
        ({"0.weight": (1, 4), "std": (4,)}, {"output": "none"}, "std is not above 0"),
        ({"mean": (4,)}, {"output": "none"}, "0 layers"),
    ],
)
def test_a_safetensors_file_that_is_no_head_is_told_why(safe, tensors, metadata, message: str):
    path = safe({name: torch.zeros(shape) for name, shape in tensors.items()}, **metadata)
    with pytest.raises(UserError, match=rf"head\.safetensors: .*{message}"):
        load_head(path)


def test_what_a_file_tells_of_itself_is_not_overruled(safe):
    path = safe({"0.weight": torch.ones(1, 4)}, output="sigmoid")
    with pytest.raises(UserError, match=r"head\.safetensors: says output sigmoid, and none was given"):
        load_head(path, output="none")
    assert load_head(path, output="sigmoid").output == load_head(path).output == "sigmoid"


def test_a_file_that_is_absent_or_elsewhere(saved):
    with pytest.raises(UserError, match=r"nowhere\.pth: no such file"):
        load_head("/nowhere.pth")
    with fsspec.open("memory://heads/v1.pth", "wb") as file:
        file.write(Path(saved(nn.Linear(4, 1).state_dict())).read_bytes())
    assert load_head("memory://heads/v1.pth").dimensions == 4


def test_embeddings_of_another_model_are_refused_by_name(saved):
    path = saved(nn.Linear(768, 1).state_dict(), "sa.pth")
    with pytest.raises(UserError, match=r"sa\.pth: takes 768-dimensional embeddings, b32_img has 512; give"):
        HeadSpec(name="aesthetic", weights=path, on="b32_img").load().score(unit(2, 512))
    with pytest.raises(UserError, match="takes 768-dimensional embeddings, this array has 512"):
        load_head(path).score(unit(2, 512))


AESTHETIC = {"name": "aesthetic", "weights": "sa.pth", "on": "l14_img"}


def spec(**given: str) -> HeadSpec:
    return HeadSpec(**{**AESTHETIC, **given})


def test_a_spec_names_its_column_its_model_and_what_decides_it(saved):
    path = saved(nn.Linear(4, 1).state_dict())
    asked = spec(weights=path, on="my-l_14_txt", activation="none")
    assert (asked.model, asked.column_name, str(asked.field.type)) == ("my-l_14", "aesthetic_score", "float")
    assert doc_of(asked.field) == "what the head aesthetic makes of my-l_14_txt"
    expected = {"name": "aesthetic", "on": "my-l_14_txt", "activation": "none", "output": None}
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    assert asked.identity() == asked.pinned().identity() == {**expected, "sha256": digest}
    assert pickle.loads(pickle.dumps(asked.pinned())) == asked.pinned()


def test_another_file_under_the_same_path_is_noticed(saved):
    path = saved(nn.Linear(4, 1).state_dict())
    asked = spec(weights=path).pinned()
    assert asked.load() is asked.load()
    saved(nn.Linear(4, 1).state_dict())
    assert spec(weights=path).pinned().identity() != asked.identity()
    with pytest.raises(UserError, match=r"head\.pth: is another file than when the run began"):
        load_head(path, sha256=asked.sha256)
    assert spec(weights=path).load() is not spec(weights=path).load()


def test_tables_become_specs_in_order():
    nsfw = {**AESTHETIC, "name": "nsfw", "activation": "relu", "output": "sigmoid"}
    assert head_specs([AESTHETIC, nsfw]) == (HeadSpec(**AESTHETIC), HeadSpec(**nsfw))
    assert head_specs([]) == ()


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ([AESTHETIC, {"name": "x", "on": "l14_img"}], "[[head]] 2 (x): weights missing"),
        ([{}], "[[head]] 1: name and weights and on missing"),
        (
            [{**AESTHETIC, "activatoin": "none"}],
            "[[head]] 1 (aesthetic): unknown activatoin; its keys are name, weights, on, activ",
        ),
        ([{**AESTHETIC, "sha256": "0"}], "unknown sha256"),
        ([AESTHETIC, AESTHETIC], "2 heads are called aesthetic"),
        (["sa.pth"], "[[head]] 1: is 'sa.pth'; write it as a table"),
        ([{**AESTHETIC, "name": "Aesthetic"}], "head 'Aesthetic': a name has a-z, 0-9 and _ only"),
        ([{**AESTHETIC, "name": "clip_b32_similarity"}], "its column clip_b32_similarity_score is one that scores have"),
        ([{**AESTHETIC, "name": "clip_mine_similarity"}], "its column clip_mine_similarity_score is one that scores have"),
        ([{**AESTHETIC, "name": ""}], "name = '' must be a text"),
        ([{**AESTHETIC, "weights": 3}], "weights = 3 must be a text"),
        ([{**AESTHETIC, "on": "l14"}], "on = 'l14' must be NAME_img or NAME_txt"),
        ([{**AESTHETIC, "activation": "swish"}], "activation is 'swish'; choose none or relu or gelu"),
        ([{**AESTHETIC, "output": 1}], "output is 1; choose none or sigmoid"),
    ],
)
def test_tables_that_will_not_do_are_told(tables: list, message: str):
    with pytest.raises(UsageError, match=re.escape(message)):
        head_specs(tables)
