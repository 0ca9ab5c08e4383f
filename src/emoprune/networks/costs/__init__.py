"""What a network costs: parameters, multiply-accumulates, bytes, and measured time."""
