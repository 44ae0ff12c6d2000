"""Studies on Ray Tune and Optuna."""
