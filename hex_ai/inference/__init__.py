"""Networks, their evaluation, and the search that asks them."""
