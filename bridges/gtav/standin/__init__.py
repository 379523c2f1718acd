"""A stand-in for the game's harness, for tests, demos and users without the game."""
