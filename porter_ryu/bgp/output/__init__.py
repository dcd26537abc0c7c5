"""What is sent to peers: the table, differences, and the journal of what a peer may have."""
