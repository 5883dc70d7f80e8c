"""Tables as Parquet files on any file system.

Imports `expressions`, `files`, `api` and the rooms below these.
"""
