"""What is measured: layers and networks, by name."""
