"""Parameters and multiply-accumulates, of layers and of known networks."""
