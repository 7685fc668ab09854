"""spark-submit entry points: each parses the options of its stage and runs it on the cluster's session."""
