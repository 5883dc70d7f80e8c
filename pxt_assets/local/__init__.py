"""Functions that run in this process: users' own, and tools.

Imports `storage`, `expressions` and the rooms below these.
"""
