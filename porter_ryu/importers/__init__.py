"""From the manifests of other load balancers to ours; whatever has no counterpart is named."""
