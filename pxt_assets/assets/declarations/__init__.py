"""What a user declares of a table and its columns, checked while definitions load.

Imports no other room of `assets`.
"""
