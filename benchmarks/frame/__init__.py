"""What every program shares: options, timing, tables and pictures."""
