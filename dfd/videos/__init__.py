"""Videos: which there are (manifest), decoded (decode) by slices (segments), written (encode), many (workers)."""
