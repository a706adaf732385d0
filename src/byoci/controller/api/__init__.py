"""The remote API: Jenkins' addresses, answers and habits, as its clients use them."""
