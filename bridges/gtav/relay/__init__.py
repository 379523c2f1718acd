"""The process beside the game: it captures, serves, and shows realized frames."""
