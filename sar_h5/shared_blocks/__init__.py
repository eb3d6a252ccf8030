"""Layout "blocks" as it is written: overlapping patches cut into squares, each of which is stored once."""
