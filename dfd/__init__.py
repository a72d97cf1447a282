"""dfd: a deepfake detection kit for the Deepfake Detection Challenge, from videos to a scored submission.csv."""

__version__ = "0.1.0"
