"""What README says of speed, measured: `make bench`, or `python -m benchmarks [VIDEO…]`."""
