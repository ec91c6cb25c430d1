"""How good are images? The protocol of the paper."""
