"""Sound files, made and read without a codec: what the audio endpoints answer with, and what they are sent.

A made file is silence, in a form that every player and decoder opens; the text that it stands for is in its
tags. A read file is only looked into: its format, its length, and the text that it may carry.
"""
