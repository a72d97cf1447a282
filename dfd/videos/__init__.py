"""Videos: listing (manifest), decoding (decode), segments (segments), encoding (encode), and workers (workers)."""
