"""The subjects in Keras."""
