"""A run: its options, its head, its epochs, its checkpoints and what its folder holds."""
