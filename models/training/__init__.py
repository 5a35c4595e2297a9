"""Training and evaluation: what `cxrnode train` runs."""
