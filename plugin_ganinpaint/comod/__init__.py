"""A feed-forward rival to measure against: a co-modulated U-Net that draws the filled picture itself."""
