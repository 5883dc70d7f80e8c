"""A small web shop's support tickets and their photos as a code location: real definitions over five days of data.

May import `assets` and the rooms below it.
"""
