"""The ``doconv`` command."""
