"""Attribution methods, one file each, and the engine that runs them. `METHODS` is the list."""

from __future__ import annotations

from keras_xai.attribution.deeplift import DeepLift
from keras_xai.attribution.expected_gradients import ExpectedGradients
from keras_xai.attribution.grad_cam import GradCam
from keras_xai.attribution.grad_cam_plus_plus import GradCamPlusPlus
from keras_xai.attribution.hires_cam import HiResCam
from keras_xai.attribution.input_x_gradient import InputXGradient
from keras_xai.attribution.integrated_gradients import IntegratedGradients
from keras_xai.attribution.internal_influence import InternalInfluence
from keras_xai.attribution.kernel_shap import KernelShap
from keras_xai.attribution.layer_cam import LayerCam
from keras_xai.attribution.lime import Lime
from keras_xai.attribution.lrp import Lrp
from keras_xai.attribution.method import Method
from keras_xai.attribution.occlusion import Occlusion
from keras_xai.attribution.rise import Rise
from keras_xai.attribution.saliency import Saliency
from keras_xai.attribution.score_cam import ScoreCam
from keras_xai.attribution.smoothgrad import SmoothGrad

METHODS: dict[str, type[Method]] = {
    "saliency": Saliency,
    "input_x_gradient": InputXGradient,
    "integrated_gradients": IntegratedGradients,
    "smoothgrad": SmoothGrad,
    "expected_gradients": ExpectedGradients,
    "deeplift": DeepLift,
    "lrp": Lrp,
    "internal_influence": InternalInfluence,
    "grad_cam": GradCam,
    "grad_cam_plus_plus": GradCamPlusPlus,
    "hires_cam": HiResCam,
    "layer_cam": LayerCam,
    "score_cam": ScoreCam,
    "occlusion": Occlusion,
    "rise": Rise,
    "lime": Lime,
    "kernel_shap": KernelShap,
}
