"""Training and measuring of the gate that looks at the pixels."""
