"""Finished cells and the places where they are kept: the stored column, the journal, the sidecar."""
