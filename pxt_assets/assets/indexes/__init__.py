"""Embedding indexes as assets."""
