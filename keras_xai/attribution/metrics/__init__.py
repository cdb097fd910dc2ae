"""Tests of an explanation: what the model loses without what it names, and whether it follows the weights.

Public as `keras_xai.metrics`.

| function | question | a good explanation |
|---|---|---|
| `deletion`, `insertion` | does the score fall, or rise, soonest in the order of the values? | falls, or rises, soon |
| `pixel_flipping` | the same, one pixel or column after the other | falls soon |
| `region_perturbation` | the same, one region after the other | drops far |
| `infidelity` | do the values say by how much the score changes? | 0 |
| `sensitivity` | does the map stay as it is under a noise that changes next to nothing? | 0 |
| `randomisation`, `smooth_randomisation` | does the map change when the weights are lost? | falls towards 0 |
"""

from keras_xai.attribution.metrics.curves import deletion, insertion, pixel_flipping
from keras_xai.attribution.metrics.infidelity import infidelity
from keras_xai.attribution.metrics.randomisation import randomisation, smooth_randomisation
from keras_xai.attribution.metrics.region_perturbation import region_perturbation
from keras_xai.attribution.metrics.sensitivity import sensitivity

__all__ = [
    "deletion",
    "infidelity",
    "insertion",
    "pixel_flipping",
    "randomisation",
    "region_perturbation",
    "sensitivity",
    "smooth_randomisation",
]
