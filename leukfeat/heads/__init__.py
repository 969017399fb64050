"""Vectors in, probabilities out."""
