"""The BGP protocol without I/O: messages, tables and state machines."""
