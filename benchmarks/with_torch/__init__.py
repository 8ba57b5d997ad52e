"""The subjects in PyTorch."""
