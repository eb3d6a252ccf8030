"""Patches of a file as files that other programs read: shards and GeoTIFFs, which ``convert`` takes back."""
