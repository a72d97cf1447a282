"""Scoring: measures (metrics), leak-free folds (folds), submission.csv (submission). Does not use torch."""
