"""The name under which TensorBoard knows the plugin. A module of its own: TensorBoard imports it at every start."""

PLUGIN_NAME = "keras_xai"  # also of the first run directory below a log directory, and what every tag begins with
