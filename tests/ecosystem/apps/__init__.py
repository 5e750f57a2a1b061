"""The applications that the documentation shows, complete."""
