"""What is done to a whole model. Layers are asked through their family; no class is named here."""
