"""What did the line see, what is the truth about it, and which limits would have been right? Footage on disk."""
