"""Values as the JSON that is written; `checks.parsed` reads it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def json_of(value: Any) -> bytes:
    """Return standard JSON in UTF-8, which has neither NaN nor infinity: they are null, and "inf" or "-inf"."""

    def plain(v: Any) -> Any:
        if isinstance(v, Mapping):
            return {str(k): plain(x) for k, x in v.items()}
        if isinstance(v, (list, tuple, np.ndarray)):
            return [plain(x) for x in v]
        if isinstance(v, (float, np.floating)):
            if math.isfinite(v):
                return float(v)
            return None if math.isnan(v) else str(float(v))
        return v.item() if isinstance(v, np.generic) else v

    return json.dumps(plain(value), ensure_ascii=False).encode()
