"""Which nodes a route leads to."""
