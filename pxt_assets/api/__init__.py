"""The client of the API: one request, its price, its faults, its budget.

Imports `values`, `throttle`, `simulator` and `errors`.
"""
