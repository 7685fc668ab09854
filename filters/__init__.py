"""Filters: frozen dataclasses that read columns and answer keep or drop, one file each."""
