"""A ranking within a time budget: costs timed, a plan made, its rounds run, what it can detect said."""
