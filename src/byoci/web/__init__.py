"""What all pages of byoci share: layout, style, script, headers."""
