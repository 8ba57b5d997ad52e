"""The tables of speed on docs/performance.md: what they measure, their records, and the page."""
