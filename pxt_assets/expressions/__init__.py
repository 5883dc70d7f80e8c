"""What a column is made of: references, paths, function calls, and what can be read off them.

Imports `files`, `api`, `values` and `errors`.
"""
