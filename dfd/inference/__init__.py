"""Inference: members packed together (bundle), and from videos to a submission.csv (predict)."""
