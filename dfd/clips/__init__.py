"""Clips: frames of a tracklet (sampling), read (dataset), in pairs, joined, changed (augment, blend, mix)."""
