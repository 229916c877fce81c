"""What every route shares at its edge."""
