"""Speed and accuracy claims, each with the command that measures it; `make bench` runs those of the demo."""
