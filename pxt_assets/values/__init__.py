"""Column types and values: images, sounds, JSON, digests.

May import `errors`.
"""
