"""Scoring: measures (metrics), folds that leak nothing (folds), submission.csv (submission). No torch in here."""
