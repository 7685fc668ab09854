"""The ranking on real pairs under its long name: `python -m bench.rank_real` is `python -m bench.rank`."""

from bench.rank import main

if __name__ == "__main__":
    main()
