"""Agreement: how alike the explanations of two methods are."""
