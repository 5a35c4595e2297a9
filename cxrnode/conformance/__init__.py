"""What this node conforms to, told from what its code accepts, negotiates, makes and sends."""
