"""What each objective learns in a few minutes on two cores: `make evidence`."""
