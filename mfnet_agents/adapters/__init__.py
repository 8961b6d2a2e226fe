"""Libraries that run mfnet's own learner. Each module imports its library, so nothing else in mfnet imports them."""
