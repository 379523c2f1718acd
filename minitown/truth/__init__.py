"""The photoreal look: a path tracer over the same triangles, and pairs of both looks."""
