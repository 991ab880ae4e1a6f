"""What operators set: flags, rules and experiments, evaluated in the process."""
