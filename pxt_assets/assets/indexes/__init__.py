"""Embedding indexes as assets. May import `columns` and what stands below it."""
