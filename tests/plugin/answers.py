"""The plugin's routes: their address, and their answers as the tab's script reads them."""

import json
import struct

import numpy as np
import pytest

LOADERS = {"python": "false", "rust": "true"}  # what --load_fast says for each
# Where a browser draws what the routes answer, which are tested with both.
LOADERS_OF_BROWSERS = ("python", pytest.param("rust", marks=pytest.mark.full))
HOME = "/data/plugin/keras_xai/"
RUN = "pictures/watermark"


def arrays(content):
    """The twin of api.js: a header and its arrays."""
    size = struct.unpack_from("<I", content)[0]
    header = json.loads(content[4 : 4 + size])
    found = {}
    for entry in header["arrays"]:
        count = int(np.prod(entry["shape"]))
        values = np.frombuffer(content, entry["dtype"], count, 4 + size + entry["offset"]).reshape(entry["shape"])
        if "low" in entry:
            low, high = (np.reshape(entry[end], (-1, *[1] * (values.ndim - 1))) for end in ("low", "high"))
            values = low + values * (high - low) / 255
        found[entry["name"]] = values
    return header, found
