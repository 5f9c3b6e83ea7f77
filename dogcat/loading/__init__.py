"""The way from shards to batches on the device."""
