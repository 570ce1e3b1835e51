"""How many workers there shall be: pure functions of recorded inputs, without clock and cluster."""
