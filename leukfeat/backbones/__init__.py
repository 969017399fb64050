"""Images in, vectors out: the frozen networks and how their inputs are made."""
