"""BGP with the routers; the only package that imports ryu.services and ryu.lib.packet."""
