"""Writes a column's file from its cells, unless the stored file holds them already.

May import `partition` and `cells`.
"""
