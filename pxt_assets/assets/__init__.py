"""All that knows Dagster: tables, columns and indexes as assets, the steps that materialize them, what the UI shows.

Imports `index`, `compute`, `functions` and the rooms below these. The inner rooms, from the top: `indexes` and `columns`
(the assets), `declarations` (what a user declares of them), `step` (the inputs and events of a Dagster step), `page`
(what the UI shows); `cleaning` is for `pxt-assets gc` alone.
"""
