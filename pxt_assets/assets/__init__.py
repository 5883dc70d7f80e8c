"""What Dagster runs and shows: tables, columns and indexes as assets, the steps that materialize them, what the UI shows.

May import `index` and the rooms below it.
"""
