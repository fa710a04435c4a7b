"""What do scores mean on this station: rates with their counts, and limits with their certificates."""
