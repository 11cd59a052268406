"""No test reaches the network; those that speak to a Hub bring their own."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # before huggingface_hub is imported
