"""Vectors kept on disk: computed once, found again by the content of the image."""
