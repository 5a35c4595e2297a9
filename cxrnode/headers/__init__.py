"""What a header says, read with suspicion, and what follows: whether an image is read, and by which route."""
