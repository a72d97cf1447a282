"""Measure the speeds stated in the README: `make bench`, or `python -m benchmarks [VIDEO…]`."""
