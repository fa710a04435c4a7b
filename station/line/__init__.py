"""Lines the station can command, one file per protocol."""
