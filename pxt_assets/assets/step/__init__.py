"""One step of Dagster's: the partitions it is to make, the rows it was given, the events it records."""
