"""Layers as they are found in files."""
