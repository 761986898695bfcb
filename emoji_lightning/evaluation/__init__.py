"""From predictions to numbers that are reported."""
