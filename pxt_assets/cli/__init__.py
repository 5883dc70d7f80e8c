"""The command `pxt-assets`.

May import `demo`, `component` and the rooms below them.
"""
