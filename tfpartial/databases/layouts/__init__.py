"""How databases lie in folders: one module a layout."""
