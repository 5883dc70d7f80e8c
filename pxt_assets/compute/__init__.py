"""One partition of one column: rows become requests, answers become cells, cells become a file.

Imports `functions`, `local`, `storage`, `expressions`, `api` and the rooms below these; knows nothing of Dagster. The inner
rooms, from the top: `asking` (makes the missing cells) and `storing` (writes the file), `partition` (what is to be
computed), `claims` (one attempt at a time), `cells` (finished cells, and where they are kept).
"""
