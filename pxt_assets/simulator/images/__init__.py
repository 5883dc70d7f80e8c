"""POST /v1/images/generations, /edits and /variations."""
