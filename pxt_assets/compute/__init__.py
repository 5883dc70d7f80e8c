"""One partition of one column: rows become requests, answers become cells, cells become a file.

May import `functions` and the rooms below it.
"""
