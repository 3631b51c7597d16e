"""The site's plan: a picture, and what stands where on it."""
