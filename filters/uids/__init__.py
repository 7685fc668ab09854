"""Uids as filters use them: seeded hashes, and their places in a sorted table."""
