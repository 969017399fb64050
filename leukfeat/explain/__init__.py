"""Looking into networks: class activation maps, also routed through heads; feature maps; what lies inside the cell."""
