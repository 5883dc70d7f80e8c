"""A small web shop's support tickets as a code location: real definitions over five days of data."""
