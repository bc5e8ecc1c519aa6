"""Training of the plugin's networks: stage 1 (encoder and mixing), stage 2 (skip encoder)."""
