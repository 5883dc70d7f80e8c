"""What all endpoints share: how a request is read, checked, limited and refused."""
