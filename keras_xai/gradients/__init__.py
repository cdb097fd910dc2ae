"""The gradients that train the model, taken where the train step hands them to the optimizer."""
