"""Studies on Ray Tune and Optuna. Importing the room prepares the environment that Ray reads at its own import."""

from ablate.search.environment import prepare

prepare()
