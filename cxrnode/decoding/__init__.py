"""From a file to a film: which decoder, whether all of it is there, and its greys."""
