"""Real images, read from files that a machine without a network can have."""
