"""A tar → batches of pixels, tokens and rows, by processes that decode ahead of the model."""
