"""OpenAI's endpoints over our models: a thin layer that translates shapes and holds no work of its own."""
