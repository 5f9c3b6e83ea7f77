"""Networks: backbones and their weights, model files, devices, engines, export."""
