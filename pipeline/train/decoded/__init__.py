"""The decoded pool: shards in, images as uint8, tokens and uids out, checked by hash."""
