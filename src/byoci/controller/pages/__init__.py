"""The controller's pages, at the addresses that Jenkins has for them."""
