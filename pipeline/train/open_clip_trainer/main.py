"""open_clip's own trainer where our models are known to it: `python -m pipeline.train.open_clip_trainer.main` and options.

Exit status: 0 trained, 1 not. torchrun and srun start it as they start any module.
"""

import functools
import inspect
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Train. Raises what open_clip's trainer raises."""
    from pipeline.clip import register_models  # makes torchvision's import work, which open_clip's needs

    # isort: split
    from open_clip_train import data
    from open_clip_train.main import main as train

    register_models()
    # After 0.2.86, which open_clip asks for, webdataset marks the end of each tar with a sample that open_clip trips over.
    if "eof_value" in inspect.signature(data.tar_file_expander).parameters:
        data.tar_file_expander = functools.partial(data.tar_file_expander, eof_value=None)
    return int(train([*arguments]) == -1)  # what it returns where it has printed an error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
