"""The rules of master data: pure, without IO and clock."""
