"""The contracts between stages: one pyarrow schema per table, every column with a doc and a unit; tables.py lists them."""
