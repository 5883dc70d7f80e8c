"""The simulator as a server: its limits, counters and options, and the port it listens on.

May import all rooms of the simulator.
"""
