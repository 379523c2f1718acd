"""Where realized chunks go besides a recording: one module a kind."""
