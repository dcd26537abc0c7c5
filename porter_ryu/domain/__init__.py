"""Decides: pure functions and values, no I/O, no clock, no logging, no JSON."""
