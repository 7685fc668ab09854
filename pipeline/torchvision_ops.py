"""Makes `import torchvision` work where its compiled operators do not load, as with a CPU torch and a CUDA torchvision.

Import this module before open_clip. torchvision registers stand-ins for two operators at import and fails where the operators
themselves were never declared. Only their schemas are declared here: nothing in this project calls them.
"""

import importlib
import sys

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def import_torchvision() -> None:
    """Import torchvision, with its missing operators declared. Raises what its own import raises for any other reason."""
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        _declare()
        importlib.import_module("torchvision")


def _declare() -> None:
    # The import that failed leaves submodules behind that belong to no package any more.
    for name in [name for name in sys.modules if name.startswith("torchvision.")]:
        del sys.modules[name]
    for schema in _SCHEMAS:
        # Only a library object that stays alive keeps its declarations.
        _DECLARED.append(torch.library.Library("torchvision", "FRAGMENT"))  # type: ignore[no-untyped-call]
        _DECLARED[-1].define(schema)  # type: ignore[no-untyped-call]


_DECLARED: list[torch.library.Library] = []
import_torchvision()
