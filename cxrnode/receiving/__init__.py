"""From the socket to the spool: who may come in and how much of it, and an instance on its way to the disk."""
