"""BFD: packets and sessions as values, and the process that speaks it."""
