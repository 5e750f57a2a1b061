"""What a client is configured with: the connection string, the table of options, and the settings made of them."""
