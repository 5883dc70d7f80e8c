"""Files, batches and responses in the background: what the API answers later.

Nothing here runs by itself but the work on a batch's answers: how far a batch is, is computed from the clock when somebody
asks. What there is lies in a folder, where other processes find it. May import `endpoint` alone of the other rooms.
"""
