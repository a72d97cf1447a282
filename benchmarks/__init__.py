"""Measures the speeds that README states: `make bench`, or `python -m benchmarks [VIDEO…]`."""
