"""Writes a column's file from its cells, or sees that it need not be written."""
