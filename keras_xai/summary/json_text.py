"""Values as the text that is written; `checks.parsed` is the way back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def json_of(value: Any) -> bytes:
    """Return JSON as every reader takes it: NaN is null, an infinity is a string."""

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
