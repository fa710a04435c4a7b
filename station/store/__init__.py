"""What the station remembers: the ledger (SQLite) and the part images; SQLModel lives here only."""
