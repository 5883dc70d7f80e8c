"""All that knows Dagster: tables, columns and indexes as assets, the step that materializes them, what the UI shows.

Imports `index`, `compute`, `functions` and the rooms below these. The inner rooms, from the top: `indexes` and `columns`
(what is an asset), `declarations` (what a user says of one), `step` (what Dagster hands to a step and is told by it),
`page` (what the UI shows); `cleaning` stands apart, for `pxt-assets gc`.
"""
