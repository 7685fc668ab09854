"""Several computes together: curves of error, where they cross, how well rankings agree."""
