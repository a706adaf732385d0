"""Benchmarks: ratios against a bare command or a peer, measured in the same run. `python -m benchmarks`."""
