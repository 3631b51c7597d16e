"""Long campaigns, run on demand; the tests run a short form of each."""
