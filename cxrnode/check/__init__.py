"""`cxrnode check`: what is wrong before starting, or while the node runs, each with a sentence; nothing is changed."""
