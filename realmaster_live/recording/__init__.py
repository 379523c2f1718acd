"""The on-disk driving sequence: Recorder writes it, Recording reads it back as a Source."""
