"""From a resolved configuration to a trained model."""
