"""The one formula: sizes, start values, composition, layouts and rounding."""
