"""Pure functions of arrays and symbols: nothing here knows a layer."""
