"""How data become features, features a decision and a decision a result: what `ProbeMappings` records of an epoch.

`reading` runs the model and hands out a matrix a layer; `factor` makes of each the one decomposition from which the rest is
linear algebra: `features`, `decision` (with the `surrogate`s) and `result`. `layers` chooses, `flags` judges.
"""
