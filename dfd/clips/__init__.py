"""Clips: which frames of a face track (sampling), as a training set (dataset, balance), self-blended fakes (blend)."""
