"""`make demo`: shows on a small network how a Service gets an address and a route in the switch."""
