"""Other methods that realize a rendered film: editors of films, the pair pipeline, networks."""
