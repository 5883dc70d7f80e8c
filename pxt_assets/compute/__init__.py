"""One partition of one column: rows become requests, answers become cells, cells become a file."""
