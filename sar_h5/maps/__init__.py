"""Where scenes and patches lie on the ground, for pictures."""
