"""Asks for the cells that are missing: requests and local calls, how many at once, how far it is.

May import `partition` and `cells`.
"""
