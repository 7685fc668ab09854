"""One image: its bytes as served in, what a shard stores of it out."""

MOST_ICC_BYTES = 4 * 2**20  # of a colour profile that is looked at
