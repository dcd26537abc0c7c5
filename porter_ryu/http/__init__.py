"""The HTTP interface: a small server around Ryu's WSGI router, bounded in all that it is sent."""
