"""A model as the rooms above see it: its layers, its inputs, its scores, and a runner for them."""
