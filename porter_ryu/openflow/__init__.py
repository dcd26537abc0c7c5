"""OpenFlow switches as the leaf: the routes of addresses become their flows and groups."""
