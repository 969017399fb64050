"""The page of a report: which sections there are, and what stands in each."""
