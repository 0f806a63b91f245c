"""Result → incident → message: what is wrong, who is owed which message, and that it arrives."""
