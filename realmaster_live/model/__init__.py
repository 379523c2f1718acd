"""The one definition of the network; knows nothing of simulators, chunks or files."""
