"""The rules on classes: one is much rarer than another, or is predicted wrongly though the others are not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from keras_xai.training_checks.finding import Finding, Unjudged
from keras_xai.training_checks.thresholds import Thresholds

MIN_ROWS_OF_CLASS = 8  # of which a part can be told
MIN_OTHERS = 0.5  # mean recall of the other classes: below, the model has not learned them either

Classes = NDArray[np.int64]


def class_imbalance(
    classes: Classes, thresholds: Thresholds, names: Sequence[str] | None, whose: str
) -> Finding | Unjudged | None:
    """Judge whether one class has many times the rows of another.

    Args:
        classes: (n) of the rows.
        thresholds: of all rules.
        names: of the classes.
        whose: rows they are, for a sentence: "training rows".
    """
    counts = np.bincount(classes, minlength=len(names or ()))
    used = np.flatnonzero(counts)
    if len(used) < 2:
        return Unjudged("class imbalance", f"the {whose} have a single class")
    rarest, commonest = int(used[counts[used].argmin()]), int(counts.argmax())
    ratio = float(counts[commonest] / counts[rarest])
    if ratio <= thresholds["class imbalance"]:
        return None
    return Finding(
        "class imbalance",
        name_of(rarest, names),
        ratio,
        thresholds["class imbalance"],
        f"class {name_of(commonest, names)} has {counts[commonest]:,} of the {whose}, class {name_of(rarest, names)} has "
        f"{counts[rarest]:,}, {ratio:.0f} times fewer",
        "look at the recall of the rare class rather than at accuracy, and try class_weight in fit()",
    )


def neglected_class(
    right: NDArray[np.bool_], classes: Classes, thresholds: Thresholds, names: Sequence[str] | None
) -> Finding | Unjudged | None:
    """Judge whether a class is predicted wrongly in most of its rows though the other classes are not.

    Args:
        right: (n) the prediction of a row is right.
        classes: (n) the true ones.
        thresholds: of all rules.
        names: of the classes.
    """
    counts = np.bincount(classes)
    judged = np.flatnonzero(counts >= MIN_ROWS_OF_CLASS)
    if len(judged) < 2:
        return Unjudged(
            "neglected class", f"fewer than two classes have {MIN_ROWS_OF_CLASS} of the {len(classes)} rows looked at"
        )
    recall = np.asarray([right[classes == value].mean() for value in judged])
    worst = int(recall.argmin())
    others = float(np.delete(recall, worst).mean())
    wrong = 1 - float(recall[worst])
    if wrong < thresholds["neglected class"] or others <= MIN_OTHERS:
        return None
    name = name_of(int(judged[worst]), names)
    return Finding(
        "neglected class",
        name,
        wrong,
        thresholds["neglected class"],
        f"{wrong:.0%} of the {counts[judged[worst]]} rows of class {name} in the probe are predicted wrongly, of the other "
        f"classes {1 - others:.0%}",
        "look at the labels of that class, and try class_weight in fit()",
    )


def has_learned(right: NDArray[np.bool_], classes: Classes) -> bool:
    """Return whether predictions are better than guessing: their mean recall over classes beats 1 / K by two standard errors."""
    values = np.unique(classes)
    if len(values) < 2:
        return True
    recalls = [right[classes == value] for value in values]
    recall = float(np.mean([hits.mean() for hits in recalls]))
    chance = 1 / len(values)
    variance = chance * (1 - chance) * float(np.mean([1 / len(hits) for hits in recalls])) / len(values)
    return recall > chance + 2 * float(np.sqrt(variance))


def name_of(value: int, names: Sequence[str] | None) -> str:
    """Return the name of a class, its number where it has none."""
    return names[value] if names and value < len(names) else str(value)
