"""Faces: found (detect), linked and cut out (tracklets, crops), stored (store), of many videos (build)."""
