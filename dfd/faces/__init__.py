"""Faces: found (detect), linked through time (tracks), cut out (crops), stored (store), all of it (extract)."""
