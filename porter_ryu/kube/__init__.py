"""Talks to Kubernetes, or to a directory that stands for it."""
