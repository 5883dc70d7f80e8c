"""Column types and values: images, sounds, JSON, digests.

Imports `throttle` and `errors`.
"""
