"""The process beside the game: it captures, serves, and displays realized frames."""
