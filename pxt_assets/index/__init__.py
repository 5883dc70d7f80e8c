"""Embedding indexes: what one is declared as, how it is kept in LanceDB, and how it is searched."""
