"""Pages and sheets that the tools make."""
