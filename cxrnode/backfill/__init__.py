"""The commands of whoever has old studies read: `cxrnode replay`, what it shows, and its pausing."""
