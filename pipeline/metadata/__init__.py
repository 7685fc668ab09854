"""Metadata: rows of parquet files in DataComp's layout, the embeddings beside them, and columns that other stages add to them."""
