"""Heads: small networks that make one number of a stored embedding, such as LAION's aesthetic predictors and NSFW detectors.

In: a file of weights (docs/score.md says which) and embeddings, (n, d). Out: (n,) float32. No file can run code.
"""

import hashlib
import json
import pickletools
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from io import BytesIO
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from pipeline import io
from pipeline.nearby import sha256_of
from schemas.columns import column
from schemas.errors import UsageError, UserError
from schemas.scores import SCORES, is_clip_column

if TYPE_CHECKING:
    import torch

ACTIVATIONS = ("none", "relu", "gelu")
OUTPUTS = ("none", "sigmoid")
UNIT_INPUTS = ("true", "false")

_MOST_BYTES = 256 * 2**20  # of a file, packed and unpacked; LAION's largest head has 22 MB
_MOST_PICKLE_BYTES = 2**20  # of the names and shapes in what torch.save writes
_MOST_LAYERS = 64
# Rows are computed this many at a time, the last ones filled up with zeros: a matrix product's rounding depends on its shape.
_ROWS = 256
_IN_SEQUENTIAL = re.compile(r"(?:(.*)\.)?(0|[1-9]\d{0,5})\.(weight|bias)")
_ARRAY = re.compile(r"([A-Za-z0-9_-]+)_(img|txt)")
# What the pickle of plain tensors names. STACK_GLOBAL, of later protocols, tells no name here, and torch.save does not use it.
_PLAIN = re.compile(r"collections OrderedDict|torch\._utils (_rebuild_tensor_v2|_rebuild_parameter)|torch [A-Za-z0-9]+Storage")
_SEE = "docs/score.md says which files are heads, and how to convert others"

Tensors = Mapping[str, "torch.Tensor"]


@dataclass(frozen=True, kw_only=True)
class HeadSpec:
    """A head that a run asks for: the column `{name}_score` is what the weights say of the array `on`. Raises UsageError."""

    name: str
    weights: str  # path or URL
    on: str  # an array of the .npz: NAME_img or NAME_txt
    activation: str | None = None  # None: as the file says
    output: str | None = None
    sha256: str = ""  # of the weights, once `pinned`

    def __post_init__(self) -> None:
        for key in ("name", "weights", "on"):
            if not isinstance(getattr(self, key), str) or not getattr(self, key):
                raise UsageError(f"head {self.name!r}: {key} = {getattr(self, key)!r} must be a text that is not empty")
        if not re.fullmatch(r"[a-z0-9_]+", self.name):
            raise UsageError(f"head {self.name!r}: a name has a-z, 0-9 and _ only")
        if self.column_name in SCORES.names or is_clip_column(self.column_name):
            raise UsageError(f"head {self.name!r}: its column {self.column_name} is one that scores have; give another name")
        if not _ARRAY.fullmatch(self.on):
            raise UsageError(f"head {self.name!r}: on = {self.on!r} must be NAME_img or NAME_txt, NAME being a model's column")
        _require_choice(f"head {self.name!r}: activation", self.activation, ACTIVATIONS)
        _require_choice(f"head {self.name!r}: output", self.output, OUTPUTS)

    @property
    def model(self) -> str:
        """The NAME in NAME_img or NAME_txt."""
        return self.on[: -len("_img")]

    @property
    def column_name(self) -> str:
        """The name of its column."""
        return f"{self.name}_score"

    @property
    def field(self) -> pa.Field:
        """Its column."""
        return column(self.column_name, pa.float32(), f"what the head {self.name} makes of {self.on}")

    def pinned(self) -> "HeadSpec":
        """The same, bound to what the file holds now: `load` refuses another. Raises UserError where it cannot be read."""
        return replace(self, sha256=sha256_of(self.weights))

    def identity(self) -> dict[str, str | None]:
        """What decides the column, for the manifest: JSON values. Where the weights lie does not, but their sha256 does."""
        chosen = {key: getattr(self, key) for key in ("name", "on", "activation", "output")}
        return {**chosen, "sha256": self.sha256 or sha256_of(self.weights)}

    def load(self) -> "Head":
        """The head, loaded once per process if `pinned`. Raises UserError where the file is none, or another than was pinned."""
        return _loaded(self) if self.sha256 else _load(self)


def head_specs(tables: Sequence[Mapping[str, Any]]) -> tuple[HeadSpec, ...]:
    """The [[head]] tables of a TOML file. Raises UsageError naming keys that are unknown or missing, and names given twice."""
    required, optional = ("name", "weights", "on"), ("activation", "output")
    for number, table in enumerate(tables, 1):
        if not isinstance(table, Mapping):
            raise UsageError(f"[[head]] {number}: is {table!r}; write it as a table, with {', '.join(required)}")
        where = f"[[head]] {number} ({table['name']})" if table.get("name") else f"[[head]] {number}"
        if unknown := sorted(set(table) - {*required, *optional}):
            raise UsageError(f"{where}: unknown {', '.join(unknown)}; its keys are {', '.join([*required, *optional])}")
        if missing := [key for key in required if key not in table]:
            raise UsageError(f"{where}: {' and '.join(missing)} missing")
    specs = tuple(HeadSpec(**table) for table in tables)
    names = [spec.name for spec in specs]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"[[head]]: {names.count(name)} heads are called {name}; give each a name of its own")
    return specs


class Layer(NamedTuple):
    """A linear layer and what follows it."""

    weight: "torch.Tensor"  # (out, in) float32
    bias: "torch.Tensor | None"  # (out,) float32
    activation: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Head:
    """A network from an embedding to one number."""

    path: str
    layers: tuple[Layer, ...]
    on: str = "this array"  # what errors call the embeddings
    mean: "torch.Tensor | None" = None  # (d,) float32; the input is (embedding - mean) / std
    std: "torch.Tensor | None" = None
    unit_input: bool = True  # embeddings are brought to length 1 first: storing them as float16 has moved it a little
    output: str = "none"

    @property
    def dimensions(self) -> int:
        """Of the embeddings it takes."""
        return int(self.layers[0].weight.shape[1])

    def require_dimensions(self, dimensions: int) -> None:
        """Raises UserError where embeddings have another number of dimensions than it takes."""
        if dimensions != self.dimensions:
            raise UserError(
                f"{self.path}: takes {self.dimensions}-dimensional embeddings, {self.on} has {dimensions}; "
                f"give the head that was trained on this model's, or another array in `on`"
            )

    def score(self, embeddings: np.ndarray) -> np.ndarray:
        """(n, d) float16 or float32 → (n,) float32, not finite where an embedding is not. Raises UserError for another d.

        A row's score does not depend on the rows beside it, but for the last bit.
        """
        import torch

        self.require_dimensions(embeddings.shape[1])
        scores = np.empty(len(embeddings), np.float32)
        for start in range(0, len(embeddings), _ROWS):
            rows = embeddings[start : start + _ROWS]
            block = np.zeros((_ROWS, self.dimensions), np.float32)
            block[: len(rows)] = rows
            with torch.inference_mode():
                scores[start : start + len(rows)] = self._forward(torch.from_numpy(block))[: len(rows)].numpy()
        return scores

    def _forward(self, x: "torch.Tensor") -> "torch.Tensor":
        """(n, d) → (n,)."""
        from torch.nn import functional as F

        if self.unit_input:
            x = F.normalize(x, dim=-1)
        if self.mean is not None:
            x = x - self.mean
        if self.std is not None:
            x = x / self.std
        for weight, bias, activation in self.layers:
            x = F.linear(x, weight, bias)
            if activation != "none":
                x = F.relu(x) if activation == "relu" else F.gelu(x)
        return (x.sigmoid() if self.output == "sigmoid" else x)[:, 0]


def load_head(path: str, *, activation: str | None = None, output: str | None = None, sha256: str = "") -> Head:
    """The head in a file, at a local path or a URL; `activation` and `output` are for files that do not tell theirs.

    Raises UserError, naming the file, where it is no head, holds anything but tensors, or has another `sha256` (if given).
    """
    content = _content_of(path)
    if sha256 and hashlib.sha256(content).hexdigest() != sha256:
        raise UserError(f"{path}: is another file than when the run began; put the first one back, or give another --out")
    if content.startswith(b"PK"):
        return _from_state_dict(path, _state_dict(path, content), activation, output)
    if content[8:9] == b"{":
        return _from_safetensors(path, content, activation, output)
    raise _no_head(path, "neither .safetensors nor what torch.save writes since torch 1.6")


def _load(spec: HeadSpec) -> Head:
    head = load_head(spec.weights, activation=spec.activation, output=spec.output, sha256=spec.sha256)
    return replace(head, on=spec.on)


_loaded = cache(_load)


def _from_state_dict(path: str, tensors: Tensors, activation: str | None, output: str | None) -> Head:
    """Of an nn.Linear, or of an nn.Sequential: where indices follow each other, no module stands between two layers."""
    numbered = _numbered(path, tensors)
    has_room = [later - index > 1 for index, later in pairwise(numbered)]
    if any(has_room) and activation is None:
        raise UserError(f"{path}: does not say what stands between its layers; give activation: {', '.join(ACTIVATIONS)}")
    between = [activation or "none" if room else "none" for room in has_room]
    return Head(path=path, layers=_layers(path, numbered, between), output=output or "none")


def _from_safetensors(path: str, content: bytes, activation: str | None, output: str | None) -> Head:
    """In the format of docs/score.md."""
    tensors, told = _safetensors(path, content)
    numbered = _numbered(path, {name: tensor for name, tensor in tensors.items() if name not in ("mean", "std")})
    if list(numbered) != list(range(len(numbered))):
        raise _no_head(path, f"its layers are numbered {', '.join(map(str, numbered))}, not 0, 1, 2 and so on")
    several = len(numbered) > 1 or "activation" in told
    between = _chosen(path, "activation", told, activation, ACTIVATIONS) if several else "none"
    head = Head(
        path=path,
        layers=_layers(path, numbered, [between] * (len(numbered) - 1)),
        mean=_floats(path, "mean", tensors.get("mean")),
        std=_floats(path, "std", tensors.get("std")),
        unit_input=_chosen(path, "unit_input", {"unit_input": "true", **told}, None, UNIT_INPUTS) == "true",
        output=_chosen(path, "output", told, output, OUTPUTS),
    )
    for vector in (head.mean, head.std):
        if vector is not None and vector.shape != (head.dimensions,):
            raise _no_head(path, f"mean or std has the shape {tuple(vector.shape)}, layer 0 takes {head.dimensions} numbers")
    if head.std is not None and bool((head.std <= 0).any()):
        raise _no_head(path, "std is not above 0 everywhere")
    return head


def _chosen(path: str, key: str, told: Mapping[str, str], given: str | None, choices: tuple[str, ...]) -> str:
    """What the file tells, or what is given where it tells nothing."""
    if key in told and given is not None and told[key] != given:
        raise UserError(f"{path}: says {key} {told[key]}, and {given} was given; leave it out, or give the same")
    value = told.get(key, given)
    if value is None:
        raise UserError(f"{path}: does not tell its {key}; give it: {', '.join(choices)}")
    _require_choice(f"{path}: {key}", value, choices)
    return value


def _numbered(path: str, tensors: Tensors) -> dict[int, dict[str, "torch.Tensor"]]:
    """Index in the Sequential → weight and maybe bias, in order of the indices. A view may be larger than what the file holds."""
    if (numbers := sum(tensor.numel() for tensor in tensors.values())) * 4 > _MOST_BYTES:
        raise _no_head(path, f"{numbers:,} weights; a head has at most {_MOST_BYTES // 4:,}")
    if "weight" in tensors and set(tensors) <= {"weight", "bias"}:
        return {0: dict(tensors)}
    found: dict[int, dict[str, torch.Tensor]] = {}
    prefixes = set()
    for name, tensor in tensors.items():
        parts = _IN_SEQUENTIAL.fullmatch(name)
        if not parts:
            raise _no_head(path, f"holds {name[:80]!r}, which is no weight or bias of a numbered layer")
        prefixes.add(parts[1])
        found.setdefault(int(parts[2]), {})[parts[3]] = tensor
    if not 1 <= len(found) <= _MOST_LAYERS or len(prefixes) != 1:
        raise _no_head(path, f"{len(found)} layers in {len(prefixes)} networks; 1 to {_MOST_LAYERS} in one are expected")
    return dict(sorted(found.items()))


def _layers(path: str, numbered: dict[int, dict[str, "torch.Tensor"]], between: Sequence[str]) -> tuple[Layer, ...]:
    """Layers that fit each other, the last of which has one output."""
    layers: list[Layer] = []
    for (index, tensors), activation in zip(numbered.items(), [*between, "none"], strict=True):
        weight, bias = (_floats(path, f"{index}.{kind}", tensors.get(kind)) for kind in ("weight", "bias"))
        if weight is None or weight.ndim != 2 or 0 in weight.shape or (bias is not None and bias.shape != weight.shape[:1]):
            shapes = ", ".join(f"{kind} {tuple(tensor.shape)}" for kind, tensor in sorted(tensors.items()))
            raise _no_head(path, f"layer {index} is not linear: {shapes}")
        if layers and len(layers[-1].weight) != weight.shape[1]:
            raise _no_head(path, f"layer {index} takes {weight.shape[1]} numbers, the one before gives {len(layers[-1].weight)}")
        layers.append(Layer(weight, bias, activation))
    if len(layers[-1].weight) != 1:
        raise _no_head(path, f"gives {len(layers[-1].weight)} numbers per embedding; a head gives one")
    return tuple(layers)


def _floats(path: str, name: str, tensor: "torch.Tensor | None") -> "torch.Tensor | None":
    """As finite float32."""
    import torch

    if tensor is None:
        return None
    if tensor.layout != torch.strided or tensor.device.type != "cpu" or not tensor.is_floating_point():
        raise _no_head(path, f"{name} is {tensor.dtype}, {tensor.layout}, on {tensor.device}; floats in memory are expected")
    floats = tensor.detach().to(torch.float32, copy=True).contiguous()
    if not bool(torch.isfinite(floats).all()):
        raise _no_head(path, f"{name} holds NaN or infinity")
    return floats


def _content_of(path: str) -> bytes:
    with io.open_read(path) as file:
        try:
            content = file.read(_MOST_BYTES + 1)
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error})") from error
    if len(content) > _MOST_BYTES:
        raise _no_head(path, f"larger than {_MOST_BYTES // 2**20} MB")
    return content


def _state_dict(path: str, content: bytes) -> Tensors:
    """What torch.save wrote: a state_dict, or a dict with one under "state_dict"."""
    import torch

    try:
        _require_plain(path, content)
        loaded = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
    except UserError:
        raise
    except Exception as error:  # zipfile, pickle and torch each raise their own for a bad file
        raise _no_head(path, f"not what torch.save writes, or cut short: {_first_line(error)}") from error
    if isinstance(loaded, dict) and isinstance(loaded.get("state_dict"), dict):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, dict) or not loaded or not all(isinstance(tensor, torch.Tensor) for tensor in loaded.values()):
        raise _no_head(path, f"holds a {type(loaded).__name__}, not a state_dict of tensors")
    return {str(name): tensor for name, tensor in loaded.items()}


def _require_plain(path: str, content: bytes) -> None:
    """Raises UserError for what is large inside, or more than tensors: torch runs no code, but makes things of any size."""
    with zipfile.ZipFile(BytesIO(content)) as archive:
        members = archive.infolist()
        pickles = [member for member in members if member.filename.lower().endswith(".pkl")]
        if sum(member.file_size for member in members) > _MOST_BYTES or any(m.file_size > _MOST_PICKLE_BYTES for m in pickles):
            raise _no_head(path, f"unpacks to more than {_MOST_BYTES // 2**20} MB, or holds more than layers")
        for member in pickles:
            for opcode, named, _ in pickletools.genops(archive.read(member)):
                if "GLOBAL" in opcode.name and not _PLAIN.fullmatch(str(named)):
                    raise UserError(
                        f"{path}: holds more than plain tensors ({str(named)[:80]}), which could run code; nothing of it was "
                        f"run; give a file that torch.save made of the network's state_dict()"
                    )


def _safetensors(path: str, content: bytes) -> tuple[Tensors, dict[str, str]]:
    """Tensors and metadata."""
    from safetensors.torch import load

    try:
        tensors = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except Exception as error:  # safetensors raises its own, torch others for types that it does not have
        raise _no_head(path, f"not a .safetensors file, or cut short: {_first_line(error)}") from error
    return tensors, header.get("__metadata__", {})


def _require_choice(what: str, value: Any, choices: tuple[str, ...]) -> None:
    if value is not None and value not in choices:
        raise UsageError(f"{what} is {value!r}; choose {' or '.join(choices)}")


def _no_head(path: str, reason: str) -> UserError:
    return UserError(f"{path}: not a head ({reason}); {_SEE}")


def _first_line(error: BaseException) -> str:
    return next((line.strip()[:200] for line in str(error).splitlines() if line.strip()), type(error).__name__)
