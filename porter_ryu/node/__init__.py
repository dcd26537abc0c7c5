"""Reads and changes the network configuration of this host."""
