"""Drift detection: control charts of feature importance and of the inputs, on numpy arrays without a framework."""
