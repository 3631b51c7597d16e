"""Assets: their condition, when a zone was crossed, spectra with their past, and what people noted."""
