"""The client of the API: one request, its price, its faults, its budget.

May import `values` and the rooms below it.
"""
