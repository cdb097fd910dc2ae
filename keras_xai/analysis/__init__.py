"""Arrays and sentences derived from the records of a run, for figures, report and tab. Nothing here draws."""
