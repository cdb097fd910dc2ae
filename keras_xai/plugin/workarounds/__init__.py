"""Workarounds for what other software does not do yet.

Each file says what it works around and where that stands upstream, what it is worth by measurement, and when it may be
deleted. Nothing else in the package depends on how any of them works.
"""
