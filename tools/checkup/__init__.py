"""What `dogcat doctor` looks at."""
