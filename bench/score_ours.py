"""`webpairs` with more model configs known to open_clip: `python -m bench.score_ours CONFIGS score …`.

Imports nothing at its top: processes that the stage starts import this module anew.
"""

import sys

if __name__ == "__main__":
    import pipeline.torchvision_ops  # noqa: F401 - before open_clip, which imports torchvision

    # isort: split
    import open_clip

    from pipeline.cli import main

    open_clip.add_model_config(sys.argv[1])
    sys.exit(main(sys.argv[2:]))
