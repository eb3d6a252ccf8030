"""Where datasets take their patches from: files, joined files, shards, arrays in memory, windows of scenes."""
