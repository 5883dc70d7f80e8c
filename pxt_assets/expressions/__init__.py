"""The expressions of columns: references, paths, function calls, and what is derived from them.

Imports `files`, `api`, `values` and `errors`.
"""
