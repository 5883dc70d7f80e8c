"""A Dagster step: the partitions that it materializes, the upstream rows that it reads, the events that it records.

Imports no other room of `assets`.
"""
