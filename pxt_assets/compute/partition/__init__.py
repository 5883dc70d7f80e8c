"""What is computed: one partition of a column, its rows, its plan, and what came of it."""
