"""Compiled code of revise: the comparison of perceptual hashes."""
