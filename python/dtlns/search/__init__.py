"""Settings found by Optuna on validation; the small grids of models without epochs are `models/tuning.py`."""
