"""What the Dagster UI shows of a column or an index: metadata, description, lineage, preview.

Imports no other room of `assets`.
"""
