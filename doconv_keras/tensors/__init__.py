"""Pure functions of tensors: nothing here knows a layer."""
