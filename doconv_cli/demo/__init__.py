"""``doconv demo``: plain against DO-Conv on real digits, in any of the frameworks."""
