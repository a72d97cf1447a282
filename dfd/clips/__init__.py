"""Clips: frames of a face track (sampling), read (dataset), in pairs, as stills, changed (augment, blend, mix)."""
