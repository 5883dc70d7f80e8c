"""What `pxt-assets gc` finds and removes: files that no run of the code locations needs any more.

Imports no other room of `assets`.
"""
