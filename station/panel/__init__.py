"""What does the inspector see? The panel: its own process, reading the ledger, asking the loop."""
