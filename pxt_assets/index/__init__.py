"""Embedding indexes: their declaration, their storage in LanceDB, and their search."""
