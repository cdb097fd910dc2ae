"""Training loops of the user's own: Keras' hooks called around them, and their steps heard."""
