"""inspect, fold and convert."""
