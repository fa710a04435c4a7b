"""The ground every other room stands on; imports nothing of ours."""
