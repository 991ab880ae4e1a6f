"""Commands for what operators set: flags, experiments, channels, operators, audit."""
