"""What class activation maps share."""
