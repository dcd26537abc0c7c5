"""Talks to routers; the only room that imports ryu.services and ryu.lib.packet."""
