"""The TensorBoard tab "Explain". `loader` is all that TensorBoard imports at its start."""
