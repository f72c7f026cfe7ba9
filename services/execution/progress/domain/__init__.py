"""The rules: pure, without IO and clock."""
