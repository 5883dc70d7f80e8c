"""Functions that run in this process: users' own, and tools.

May import `storage` and the rooms below it.
"""
