"""Measuring finished models: how good, how honest, how well explained."""
