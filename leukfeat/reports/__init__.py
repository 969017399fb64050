"""Numbers in, pages out."""
