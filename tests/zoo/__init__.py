"""Whole zoos of other people's networks: `make test-zoo`, not part of `make test`."""
