"""From data to features, from features to a decision, from a decision to a result: the records of `ProbeMappings`.

`reading` runs the model and returns a matrix a layer; `gram` decomposes each once, and the rest is linear algebra on that:
`features` (with `cka`), `decision` (linear probes, by `ridge`; `surrogate`s) and `result` (with `calibration`). `task` says
what the outputs mean, `layers` which layers are read, `flags` judges.
"""
