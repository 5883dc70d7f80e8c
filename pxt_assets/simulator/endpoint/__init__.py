"""What all endpoints share: how a request is read, checked, limited and refused.

Imports no other room of the simulator.
"""
