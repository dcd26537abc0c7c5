"""`porter-ryu check`: what on this host, at its peers or in the cluster would prevent operation.

It changes nothing.  It connects to peers that have no session and closes the connection at once,
and it asks the API server only what its credential may read.
"""
