"""Who trains on what: patches assigned to train, val and test, stored in the file, and proven apart."""
