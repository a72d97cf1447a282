"""Inference: bundles of trained models (bundle), and prediction from videos to submission.csv (predict)."""
