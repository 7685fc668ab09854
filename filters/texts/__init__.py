"""Texts as filters look at them: their bytes, tokens, words already judged, folded forms."""
