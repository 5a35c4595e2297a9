"""Which old studies: files, lists and searches become a plan, and each study of it gets a verdict."""
