"""Measures the speeds that docs/speed.md states: `make bench`, or `python -m benchmarks [VIDEO…]`."""
