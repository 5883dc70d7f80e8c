"""Sound files, written and read without a codec: the answers and the uploads of the audio endpoints.

A written file is silence, in a form that every player and decoder opens; the text that it stands for is in
its tags. Of an uploaded file the format, the length and the embedded text are read.
Imports no other room.
"""
