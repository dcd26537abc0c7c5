"""BGP as values: messages, tables and states, without sockets or clocks."""
