"""One partition of a column: its rows, its plan, its outcome. May import `cells`."""
