"""The answers of a column that come later: what is asked for by batch, on record in the column's store until it is answered.

`record.py` says what is known of a batch, `record_folder.py` where that is kept. `spool.py` gathers the lines of the next
batches, `splitting.py` cuts them into files, `submission.py` submits them and takes over what a process that died left,
`collection.py` keeps the answers of what has ended, `kept_answers.py` finds them. `deferred_column.py` is all of it for one
column; `polling.py` is what a sensor needs: states alone.
Imports claims and digest indexes of `compute`, and the lines and states of batches of `api`.
"""
