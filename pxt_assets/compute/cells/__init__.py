"""Finished cells and where they are stored: the column's file, the journal, the sidecar.

Imports no other room of `compute`.
"""
