"""Talks to the kernel of this host."""
