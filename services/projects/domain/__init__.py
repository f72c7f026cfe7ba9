"""The rules of projects: pure, without IO and clock."""
