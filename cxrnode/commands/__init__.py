"""What a person types: a command a file, and the command lines that several of them share."""
