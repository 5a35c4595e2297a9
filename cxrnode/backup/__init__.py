"""`cxrnode backup` and `cxrnode restore`: everything that the node keeps, in a folder, and back."""
