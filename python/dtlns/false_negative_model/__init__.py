"""The false-negative model: candidates from several sources, features, and a classifier fitted to them."""
