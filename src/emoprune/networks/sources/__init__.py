"""Who makes networks, other than convnets and table_networks: libraries, and functions of users."""
