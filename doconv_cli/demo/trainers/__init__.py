"""The demo's network in each framework."""
