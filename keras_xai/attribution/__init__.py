"""Attribution methods, one file each, and the engine that runs them. `METHODS` is the list."""

from __future__ import annotations

from keras_xai.attribution.grad_cam import GradCam
from keras_xai.attribution.input_x_gradient import InputXGradient
from keras_xai.attribution.integrated_gradients import IntegratedGradients
from keras_xai.attribution.method import Method
from keras_xai.attribution.saliency import Saliency

METHODS: dict[str, type[Method]] = {
    "saliency": Saliency,
    "input_x_gradient": InputXGradient,
    "integrated_gradients": IntegratedGradients,
    "grad_cam": GradCam,
}
