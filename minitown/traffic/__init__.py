"""What moves in a town, tick by tick: vehicles, walkers, signals, their drivers."""
