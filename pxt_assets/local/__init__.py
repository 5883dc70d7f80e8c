"""Calls that run in this process: a user's own functions, and tools.

Imports `storage`, `expressions` and the rooms below these.
"""
