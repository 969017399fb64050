"""Probabilities in, numbers out."""
