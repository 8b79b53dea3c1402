"""Tables against published figures, and picture grids."""
