"""What stands and drives in a town, as triangles: cars, people, houses, trees, ground."""
