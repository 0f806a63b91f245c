"""What the bench of backups is fought with: a warehouse that is made once, our keeper, its peers."""
