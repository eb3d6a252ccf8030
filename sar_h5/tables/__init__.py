"""All that is known of each patch as a table: to select by, to join with a manifest, to export."""
