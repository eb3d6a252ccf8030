"""Where scenes come from: Sentinel-1 products, GeoTIFFs, ``.npy`` shards and simulated products."""
