"""What an event is once it is history: pure, without IO and clock."""
