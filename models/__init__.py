"""Everything with torch: cards, networks, preprocessing, explanations, training."""
