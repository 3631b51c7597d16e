"""What is attached to this machine: found without writing to it unless asked, told in words, and put into the first configuration."""
