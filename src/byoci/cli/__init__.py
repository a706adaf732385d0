"""The commands, thin: each parses its arguments, calls the layers below and prints."""
