"""Evaluation sets as they are published: parquet, image folders, WebDatasets; all become tasks."""
