"""`make demo`: the way from a Service to a switch, shown on a small network of real parts."""
