"""Speed, as ratios of two things measured in one run on the machine at hand."""
