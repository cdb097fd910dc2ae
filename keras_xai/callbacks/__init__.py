"""Shells around the crafts: what `model.fit` calls."""
