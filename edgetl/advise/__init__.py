"""What decides transfer, measured before training: data, similarity, backbones, resources, and the plan."""
