"""Computed columns as assets: the factory, and the step that materializes one."""
