"""The rules of snapshots: pure, without IO and clock."""
