"""`cxrnode compare`: two models on the same images, who flips and by how much, as a page, CSV and Parquet."""
