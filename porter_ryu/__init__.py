"""A load balancer for bare-metal Kubernetes: Services in, ECMP routes out, as a Ryu application."""
