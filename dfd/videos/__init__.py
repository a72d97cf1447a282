"""Videos: which there are (manifest), their pictures (decode), writing them (encode), and work on many (workers)."""
