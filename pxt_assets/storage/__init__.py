"""Tables as Parquet files on any file system.

May import `expressions` and the rooms below it.
"""
