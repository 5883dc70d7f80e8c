"""Files that are dynamic partitions: the sensor that adds them as they arrive, and the rows of each.

May import `declarations`, `step` and the rooms below `assets`.
"""
