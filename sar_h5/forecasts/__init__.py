"""Before a conversion: what is there, what is broken, what converting it takes, and whether it fits."""
