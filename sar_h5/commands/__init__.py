"""One module per command: it parses, calls one public function, and prints."""
