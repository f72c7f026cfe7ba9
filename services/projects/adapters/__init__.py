"""Adapters: storage of projects and sagas in MongoDB and in memory."""
