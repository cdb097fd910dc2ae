"""Descriptions of what is explained of a model whose output is no row of scores: pixels, tags, next tokens, boxes.

Public as `keras_xai.outputs`; each function returns what `output=` takes in `kx.attribute`, `kx.importance`' probe, `kx.Probe`
and the callbacks.

```python
kx.attribute(unet, x, output=kx.outputs.segmentation(target=1))
probe = kx.Probe(x_probe, masks, output=kx.outputs.segmentation(target=1))
```

| function | outputs |
|---|---|
| `segmentation` | (B, H, W, K): a class over a region of pixels; series and volumes alike |
| `tagging` | (B, T, K): a tag over the steps that have it |
| `next_token` | (B, T, V): a token at a step |
| `layer` | a unit of a layer inside the model |
| `detection` | boxes (B, N, 4) and classes (B, N, K): a class at a box |
"""

from keras_xai.outputs.detection import detection
from keras_xai.outputs.layer import layer
from keras_xai.outputs.next_token import next_token
from keras_xai.outputs.segmentation import segmentation
from keras_xai.outputs.tagging import tagging

__all__ = ["detection", "layer", "next_token", "segmentation", "tagging"]
