"""Benchmarks: how fast batches arrive, and sources are converted, beside what else could be used.

Simulated patches (`data`) are put into each format (`rivals`), served in fresh processes (`measure`) in interleaved
rounds (`loading`), and the results become a table and a picture (`report`). `converting` does the same for conversion.
"""
