"""The nouns, protocols, errors and seeds that every other floor speaks in."""
