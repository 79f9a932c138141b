"""The budgets of the design, measured in one run and printed as ratios. Started by `make bench`."""
