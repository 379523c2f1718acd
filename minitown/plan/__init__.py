"""Streets, lanes, lights and lots of a town, as numbers: no triangles."""
