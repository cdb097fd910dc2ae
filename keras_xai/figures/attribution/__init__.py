"""Figures of attributions: one tile a sample, by what it is (a table, a picture, a text, a series), and plots of many samples.

Notebook, report and `kx.plot` draw with the same tiles, and show what the tab shows.
"""
