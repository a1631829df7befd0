"""Losses over pairs and their negatives, one a file."""
