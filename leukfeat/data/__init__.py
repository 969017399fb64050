"""What was measured, and on whom: manifests, splits, images."""
