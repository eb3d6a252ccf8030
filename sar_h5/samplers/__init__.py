"""Which samples an epoch takes, in which order, on which rank, and going on in its middle."""
