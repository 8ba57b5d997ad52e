"""What the adapters decide alike for a whole model, and what they ask of a family of layers."""
