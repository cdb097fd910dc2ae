"""Rules on what a model may rely on: the only way to see a shortcut that the probe has, too.

A limit is at most so much of the evidence for a feature, a pattern of features or a group, at least so much of the attribution
inside the region of a probe of images, and at most so large a gap of accuracy for a slice. A rule is broken where what was
measured is beyond its limit by two standard errors, at two updates running.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_xai.errors import InvalidInput, unknown

REGION = "region"
STANDARD_ERRORS = 2.0  # by which a figure is beyond the limit
RULE_UPDATES = 2  # running, at which it is

Kind = Literal["features", "region", "slice"]


class Rule(NamedTuple):
    """One rule."""

    name: str  # as the user wrote it
    kind: Kind
    limit: float  # 0 to 1
    features: NDArray[np.int64]  # that it names; none of a region or slice

    def is_broken(self, value: float, error: float) -> bool:
        """Return True where a figure is beyond the limit by two standard errors; an unknown one is not."""
        margin = STANDARD_ERRORS * (error if np.isfinite(error) else 0.0)
        if self.kind == "region":
            return value + margin < self.limit
        return value - margin > self.limit


class Measured(NamedTuple):
    """The figure that a rule is about, and how sure it is."""

    value: float
    error: float  # standard error
    sentence: str  # what was measured, and what the rule says


def resolve_rules(
    rules: Any, features: Sequence[str], *, slices: Collection[str] = (), has_region: bool = False
) -> list[Rule]:
    """Check rules against what a probe has.

    Args:
        rules: a dict from the name of a feature, group or slice, a pattern of features ("site_*") or "region" to a limit.
        features: (F) names.
        slices: names of the probe's slices.
        has_region: the probe has a region.

    Raises:
        InvalidInput: no dict, a limit that is not between 0 and 1, a name that matches nothing, with close matches.

    Example:
        >>> [rule.features.tolist() for rule in resolve_rules({"site_*": 0.0}, ["age", "site_1", "site_2"])]
        [[1, 2]]
    """
    if not isinstance(rules, Mapping):
        raise InvalidInput(
            f"rules={rules!r}: expected a dict from the name of a feature to the largest share it may have."
        )
    resolved = []
    for name, limit in rules.items():
        if isinstance(limit, bool) or not isinstance(limit, (int, float, np.number)) or not 0 <= float(limit) <= 1:
            raise InvalidInput(f"rules[{name!r}]={limit!r}: expected a share from 0 to 1.")
        resolved.append(_rule(str(name), float(limit), features, slices, has_region=has_region))
    return resolved


def _rule(name: str, limit: float, features: Sequence[str], slices: Collection[str], *, has_region: bool) -> Rule:
    nothing = np.zeros(0, np.int64)
    if name == REGION and has_region:
        return Rule(name, "region", limit, nothing)
    if name in slices:
        if name in features:
            raise InvalidInput(f"rules[{name!r}]: the probe has a feature and a slice of this name; rename the slice.")
        return Rule(name, "slice", limit, nothing)
    named = [f for f, feature in enumerate(features) if feature == name]
    named = named or [f for f, feature in enumerate(features) if fnmatch.fnmatchcase(feature, name)]
    if not named:
        if name == REGION:
            raise InvalidInput(
                "rules['region']: the probe has no region; give Probe(region=) a mask (B, H, W) or boxes."
            )
        raise unknown("feature, group or slice that a rule names", name, [*features, *slices])
    return Rule(name, "features", limit, np.asarray(named, np.int64))


class RuleChart:
    """Counts for each rule at how many updates running it was broken; each is an alarm once."""

    def __init__(self) -> None:
        self._running: dict[str, int] = {}
        self._alarmed: set[str] = set()

    def update(self, name: str, *, is_broken: bool, is_early: bool = False) -> bool:
        """Add an update of a rule, and return True where it is an alarm.

        Args:
            name: of the rule.
            is_broken: at this update.
            is_early: the update is inside an epoch and in the burn-in. It does not count: a net with random weights relies on
                everything alike.
        """
        if is_early:
            return False
        self._running[name] = self._running.get(name, 0) + 1 if is_broken else 0
        if self._running[name] < RULE_UPDATES or name in self._alarmed:
            return False
        self._alarmed.add(name)
        return True

    def restore(self, alarmed: Collection[str]) -> None:
        """Go on from the rules that were an alarm in a run that is continued."""
        self._alarmed.update(alarmed)
