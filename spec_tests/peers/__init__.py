"""Other drivers under the runner: they show that it is not bent to its own driver, and what they pass."""
