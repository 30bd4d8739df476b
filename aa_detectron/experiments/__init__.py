"""What draws and compares: figures and comparisons. Nothing else imports it."""
