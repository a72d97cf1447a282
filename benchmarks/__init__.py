"""Measure the speeds stated in docs/speed.md: `make bench`, or `python -m benchmarks [VIDEO…]`."""
