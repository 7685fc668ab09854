"""From the decoded pool to a model: the order of samples, batches, crops."""
