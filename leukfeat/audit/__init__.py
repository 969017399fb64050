"""Is the data, the split or the claim sound? Findings, each with its evidence and what to do about it."""
