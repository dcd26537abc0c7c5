"""BFD: packets, sessions, the process that runs it, and the monitor of that process."""
