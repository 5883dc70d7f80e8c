"""The expressions of columns: references, paths, function calls, and what is derived from them.

May import `files` and the rooms below it.
"""
