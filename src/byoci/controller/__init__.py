"""The embedded controller: a server that Jenkins' own clients cannot tell from Jenkins."""
