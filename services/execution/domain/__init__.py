"""The rules of the floor: pure, without IO and clock."""
