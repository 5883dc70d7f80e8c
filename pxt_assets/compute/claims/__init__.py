"""Claims: only one attempt at a time computes a partition. May import `cells`."""
