"""The functions of the framework seam for PyTorch."""

from keras_xai.backend.torch.devices import is_chief
from keras_xai.backend.torch.gradient_recorder import gradient_recorder
from keras_xai.backend.torch.gradient_sums import GradientSums

__all__ = ["GradientSums", "gradient_recorder", "is_chief"]
