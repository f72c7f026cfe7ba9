"""The rules of generation plans: pure, without IO and clock."""
