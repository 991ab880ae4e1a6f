"""Looking at an agent from outside it: status, doctor, stored credentials."""
