"""Asks the nodes themselves whether they live, beside what Kubernetes says."""
