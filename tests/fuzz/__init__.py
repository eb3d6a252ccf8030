"""Coverage-guided fuzzing of everything that reads what others have made: ``python -m tests.fuzz TARGET``."""
