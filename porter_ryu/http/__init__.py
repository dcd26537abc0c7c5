"""The HTTP interface: a small server around Ryu's WSGI router, with limits on every request."""
