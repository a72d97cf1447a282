"""Clips: frames of a tracklet (sampling), read (dataset), in pairs, as stills, changed (augment, blend, mix)."""
