"""The files that the command knows, one format a module."""
