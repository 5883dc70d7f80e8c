"""Embedding indexes: their declaration, their storage in LanceDB, and their search.

May import `compute` and the rooms below it.
"""
