"""What every package stands on: options and flags, files, printing, progress, the process itself."""
