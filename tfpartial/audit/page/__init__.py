"""The page that a person looks at: one HTML file with its pictures inside."""
