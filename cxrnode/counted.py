"""A number and its noun, for people: 1 image, 2 images."""


def counted(number: int, noun: str) -> str:
    """So many of a thing whose plural ends in s."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
