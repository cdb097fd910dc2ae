"""Mappings of a model (data → features → decision → result): the records of `ProbeMappings`.

`layers` chooses the layers; `reading` runs the model and returns a matrix for each; `gram` decomposes each matrix once, and
the others compute from that: `features` (with `cka`), `decision` (linear probes, by `ridge`), `surrogate` and `result` (with
`calibration`). `task` says what the outputs mean, and `flags` judges the records.
"""
