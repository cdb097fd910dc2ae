"""The fixed samples that are explained again every epoch: what they are, what they are called, what is asked of them."""

from keras_xai.probe.probe import Probe

__all__ = ["Probe"]
