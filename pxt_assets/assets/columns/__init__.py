"""Computed columns as assets: the factory, and the step that materializes one.

May import `declarations`, `step` and `page`.
"""
