"""What the node does: receive, complete, analyse, deliver. Importing it loads no torch."""

__version__ = "0.1.0"
